"""Everything the reference recorded of its generator, from ours, in single or double precision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.cardionets.denoiser import Guidance, guide, timestep_embedding
from pipelines.cardionets.diffusion import (
    DiffusionHead,
    diffuse,
    log_likelihood,
    reverse,
)
from pipelines.cardionets.generator import (
    Drawn,
    Generator,
    MarSize,
    at_places,
    patchify,
    unpatchify,
)
from pipelines.noise_schedule import NoiseSchedule
from tests.unit.cardionets.recorded import recorded, weights

TINY = MarSize(
    latent=(2, 10, 6, 6),
    patch=(5, 2, 2),
    condition=24,
    buffer=6,
    width=32,
    heads=2,
    encoder_depth=2,
    decoder_depth=2,
    mlp=128,
    head_width=96,
    head_depth=2,
)
TOKENS = 18
USES = 4  # of each z in the training's loss
GRADIENTS = (
    "diffloss.net.cond_embed.weight",
    "diffusion_pos_embed_learned",
    "ecg_emb.0.weight",
    "encoder_blocks.0.attn.qkv.weight",
    "mask_token",
    "z_proj.weight",
)


class PublishedGenerator:
    """The tiny generator with the reference's weights, and its inputs, at one precision."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.network = Generator(TINY, DiffusionHead(TINY.head)).eval()
        self.network.load_state_dict(weights(folder, "mar.tiny"))
        self.network.to(dtype)
        self.dtype = dtype
        self.given = self._at_precision(recorded(folder, "mar.tiny.vectors", "input"))
        self.noise = self._at_precision(recorded(folder, "mar.tiny.vectors", "noise"))
        self.kept = torch.zeros(2, dtype=torch.bool)  # no condition is dropped

    def _at_precision(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: t.to(self.dtype) if t.is_floating_point() else t for key, t in tensors.items()}

    def outputs(self) -> dict[str, Tensor]:
        with torch.no_grad():
            found = {
                **self.trunk(),
                **self.head(),
                **self.steps(),
                **self.chain("chain10", 10),
                **self.chain("chain100", 100),
                **self.drawings(),
                **self.probes(),
            }
        return {**found, **self.training()}

    def trunk(self) -> dict[str, Tensor]:
        tokens = patchify(self.given["latent"], TINY)
        found = {
            "tokens": tokens,
            "unpatchified": unpatchify(tokens, TINY),
            "class_embedding": self.network.embed(self.given["condition"], self.kept),
            "mask_from_order": torch.stack(
                [self._mask(self.given["orders"], masked) for masked in (18, 11, 1)]
            ),
        }
        for case in ("given", "all_masked", "none_masked", "uncond"):
            found |= self.trunk_of(case)
        found["given.decoder_pred"] = self.network.decoder_pred(found["given.decoder"])
        return found

    def trunk_of(self, case: str) -> dict[str, Tensor]:
        masks = {"all_masked": torch.ones(2, TOKENS), "none_masked": torch.zeros(2, TOKENS)}
        mask = masks.get(case, self.given["mask"])
        order = mask.argsort(dim=1, stable=True)  # known places first, both in raster order
        count = int((mask[0] == 0).sum())
        known, masked = order[:, :count], order[:, count:]
        dropped = torch.full((2,), case == "uncond")
        tokens = at_places(patchify(self.given["latent"], TINY), known)
        embedding = self.network.embed(self.given["condition"], dropped)
        encoded = self.network.encode(tokens, known, embedding)
        decoded = self.network.decode(encoded, known, masked)
        raster = order.argsort(dim=1)
        return {
            f"{case}.encoder": encoded,
            f"{case}.decoder": at_places(decoded, raster),
            f"{case}.z": at_places(self.network.locate(decoded, order), raster),
        }

    @staticmethod
    def _mask(order: Tensor, masked: int) -> Tensor:
        """1 at the first places of the recorded order, which is drawn from its end."""
        return torch.zeros_like(order).scatter(1, order[:, :masked], 1)

    def head(self) -> dict[str, Tensor]:
        net = self.network.diffloss.net
        x, t, c = (self.given[f"net.{key}"] for key in "xtc")
        token = x.shape[1]
        conditional, null = net(x[:3], t[:3], c[:3]), net(x[:3], t[3:], c[3:])
        guided = guide(conditional, null, 3.0, token)
        return {
            "net.timestep_embedding": timestep_embedding(t, self.dtype),
            "net.time_embed": net.time_embed(t, self.dtype),
            "net.out": net(x, t, c),
            "net.out_large_x": net(30.0 * x, t, c),
            "net.out_cfg3": _both_halves(guided, null),
            "nll": log_likelihood(
                self.given["nll.x"], self.given["nll.means"], self.given["nll.log_scales"]
            ),
        }

    def _guided_halves(self, x: Tensor, t: Tensor, z: Tensor, guidance: Guidance) -> Tensor:
        net = self.network.diffloss.net
        return _both_halves(net.guided(x, t, z, guidance), net(x, t, guidance.null_z))

    def steps(self) -> dict[str, Tensor]:
        net, schedule = self.network.diffloss.net, NoiseSchedule.respaced(10)
        x, c, noise = self.given["net.x"], self.given["net.c"], self.given["step.noise"]
        found = {}
        for place in (9, 5, 0):
            index = torch.full((6,), place)
            step = reverse(schedule, x, index, net(x, _t(schedule)[index], c))
            last = place == 0
            found |= {
                f"step{place}.mean": step.mean,
                f"step{place}.log_variance": step.log_variance,
                f"step{place}.pred_xstart": step.start,
                f"step{place}.sample_t1.0": step.mean if last else step.sample(noise),
                f"step{place}.sample_t0.9": step.mean if last else step.sample(noise, 0.9),
            }
        index = torch.full((6,), 5)
        t = _t(schedule)[index[:3]]
        output = self._guided_halves(x[:3], t, c[:3], Guidance(c[3:], 3.0))
        found["step5.cfg3_sample"] = reverse(schedule, x, index, output).sample(noise)
        return found

    def chain(self, name: str, steps: int) -> dict[str, Tensor]:
        c, head = self.given["net.c"], self.network.diffloss
        init, later = self.noise[f"{name}.init"], self.noise[f"{name}.steps"]
        free = torch.stack(
            list(head.trajectory(c[: len(init)], _per_token(init, later), steps=steps))
        )
        init, later = self.noise[f"{name}_cfg3.init"], self.noise[f"{name}_cfg3.steps"]
        guided = self._guided_chain(init, later, steps)
        found = {f"{name}.final": free[-1], f"{name}_cfg3.final": guided[-1]}
        if steps == 10:
            found |= {f"{name}.trajectory": free, f"{name}_cfg3.trajectory": guided}
        return found

    def _guided_chain(self, init: Tensor, later: Tensor, steps: int) -> Tensor:
        """(steps, 2n, token): the conditional half as we draw it; the null half, which nothing
        comes of, beside it."""
        n, c = len(init), self.given["net.c"]
        guidance = Guidance(c[n : 2 * n], 3.0)
        noise = _per_token(init, later[:, :n])
        drawn = list(self.network.diffloss.trajectory(c[:n], noise, guidance, steps=steps))
        schedule, null, nulls = NoiseSchedule.respaced(steps), init, []
        for done, before in enumerate([init, *drawn[:-1]]):
            index = torch.full((n,), steps - 1 - done)
            t = _t(schedule)[index]
            output = self._guided_halves(before, t, c[:n], guidance)[n:]
            step = reverse(schedule, null, index, output)
            null = step.mean if done == steps - 1 else step.sample(later[done, n:])
            nulls.append(null)
        return torch.cat([torch.stack(drawn), torch.stack(nulls)], dim=1)

    def drawings(self) -> dict[str, Tensor]:
        return {
            **self.drawing("a_nocfg", 4),
            **self.drawing("b_cfg3_constant", 4, cfg=3.0),
            **self.drawing("c_cfg3_linear", 4, cfg=3.0, linear=True),
            **self.drawing("d_uncond", 3, conditional=False),
            **self.drawing("e_cfg2_t09_6steps", 6, cfg=2.0, temperature=0.9),
            **self.drawing("f_cfg3_100steps", 3, cfg=3.0, diffusion_steps=100, batch=1),
        }

    def drawing(
        self,
        case: str,
        steps: int,
        *,
        cfg: float = 1.0,
        linear: bool = False,
        conditional: bool = True,
        temperature: float = 1.0,
        diffusion_steps: int = 10,
        batch: int = 2,
    ) -> dict[str, Tensor]:
        schedule = AutoregressiveSchedule.cosine(TOKENS, steps)
        order = self.given["orders"][:batch]
        scales = tuple(schedule.linear_scale(step, cfg) if linear else cfg for step in range(steps))
        drawn = draw_recorded(
            self.network,
            self.given["condition"][:batch],
            order,
            {key: self.noise[f"ar.{case}.{key}"] for key in ("count", "init", "steps")},
            schedule,
            scales if cfg != 1.0 else None,
            temperature=temperature,
            diffusion_steps=diffusion_steps,
            conditional=conditional,
        )
        left = [TOKENS - sum(schedule.drawn[:step]) for step in range(steps)]
        z = self._first_z(drawn[0], order, conditional, guided=cfg != 1.0)
        return {
            f"ar.{case}.mask": torch.stack([self._mask(order, masked) for masked in left]),
            f"ar.{case}.cfg_iter": torch.tensor(scales),
            f"ar.{case}.z_first": z,
            f"ar.{case}.sampled": torch.cat([_raster_rows(s.places, s.tokens) for s in drawn]),
            f"ar.{case}.latent": self.network.assemble(drawn),
        }

    def _first_z(self, first: Drawn, order: Tensor, conditional: bool, *, guided: bool) -> Tensor:
        """Rows of the first step in raster order; with guidance the null rows follow."""
        rows = _raster_rows(first.places, first.z)
        if not guided:
            return rows
        none, all_places = order[:, :0], order.flip(1)
        empty = torch.zeros(len(order), 0, TINY.token, dtype=self.dtype)
        null = torch.ones(len(order), dtype=torch.bool)
        z = self.network(empty, none, all_places, self.given["condition"][: len(order)], null)
        null_rows = _raster_rows(first.places, z[:, : first.places.shape[1]])
        return torch.cat([rows, null_rows])

    def probes(self) -> dict[str, Tensor]:
        network, small = self.network, self.given["probe.small"]
        net, small_w = network.diffloss.net, self.given["probe.small_w"]
        y = net.time_embed(self.given["net.t"], self.dtype) + net.cond_embed(self.given["net.c"])
        return {
            "probe.encoder_block0": network.encoder_blocks[0](small),
            "probe.decoder_block0": network.decoder_blocks[0](small),
            "probe.encoder_norm": network.encoder_norm(small),
            "probe.z_proj_ln": network.z_proj_ln(small),
            "probe.res_block0": net.res_blocks[0](small_w, y),
            "probe.final_layer": net.final_layer(small_w, y),
        }

    def training(self) -> dict[str, Tensor]:
        """All places give the recorded terms; the loss and its slopes come of our `loss`."""
        latent, condition = self.given["latent"], self.given["condition"]
        t, noise = self.given["train.t"], self.given["train.noise"]
        hidden = -int(-TOKENS * self.given["train.mask_rate"].double().item() // 1)  # rounded up
        masked, known = self.given["orders"].split([hidden, TOKENS - hidden], dim=1)
        rows = torch.arange(USES * 2)[:, None] * TOKENS + masked.repeat(USES, 1)
        self.network.zero_grad()
        loss = self.network.loss(
            latent,
            condition,
            self.kept,
            known=known,
            masked=masked,
            t=t[rows.flatten()],
            noise=noise[rows.flatten()],
        )
        loss.backward()
        slopes = dict(self.network.named_parameters())
        found = {f"train.grad.{key}": slopes[key].grad for key in GRADIENTS}
        return {**found, "train.loss": loss.detach()[None], **self._terms(known, masked, t, noise)}

    def _terms(self, known: Tensor, masked: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        tokens = patchify(self.given["latent"], TINY)
        mask = torch.zeros(2, TOKENS, dtype=torch.int64).scatter(1, masked, 1)
        order = torch.cat([known, masked], dim=1)
        with torch.no_grad():
            embedding = self.network.embed(self.given["condition"], self.kept)
            encoded = self.network.encode(at_places(tokens, known), known, embedding)
            located = self.network.locate(self.network.decode(encoded, known, masked), order)
            z = at_places(located, order.argsort(dim=1)).flatten(0, 1).repeat(USES, 1)
            wanted = tokens.flatten(0, 1).repeat(USES, 1)
            terms = self.network.diffloss.terms(wanted, z, t, noise)
            total = self.network.diffloss.loss(wanted, z, t, noise)
            x = diffuse(NoiseSchedule.cosine(), wanted, t, noise)
        return {
            "train.mask": mask,
            "train.mse_per_token": terms.mse,
            "train.vb_per_token": terms.bound,
            "train.loss_per_token": total,
            "train.x_t": x[: 2 * TOKENS],
        }


def draw_recorded(
    network: Generator,
    condition: Tensor,
    order: Tensor,
    noise: Mapping[str, Tensor],
    schedule: AutoregressiveSchedule,
    scales: tuple[float, ...] | None,
    *,
    temperature: float = 1.0,
    diffusion_steps: int = 10,
    conditional: bool = True,
) -> list[Drawn]:
    """Draw with the reference's order, from its end, and its noise, by rows of every step."""
    ours = order.flip(1)
    assert [len(order) * count for count in schedule.drawn] == noise["count"].tolist()
    return list(
        network.draw(
            condition,
            ours,
            per_place(ours, schedule.drawn, noise["init"], noise["steps"]),
            partial(network.diffloss.sample, steps=diffusion_steps, temperature=temperature),
            schedule=schedule,
            scales=scales,
            conditional=conditional,
        )
    )


def _t(schedule: NoiseSchedule) -> Tensor:
    return torch.from_numpy(schedule.timestep_map)


def _both_halves(guided: Tensor, null: Tensor) -> Tensor:
    """As the reference gives it: the null half has the guided noise and its own variance."""
    token = guided.shape[1] // 2
    return torch.cat([guided, torch.cat([guided[:, :token], null[:, token:]], dim=1)])


def _per_token(init: Tensor, later: Tensor) -> Tensor:
    """x_T (n, C) and all steps' noise (steps, n, C), the last unused: (n, steps, C)."""
    return torch.cat([init[None], later[:-1]]).transpose(0, 1)


def _raster_rows(places: Tensor, values: Tensor) -> Tensor:
    """(B, M, …) as the reference has rows: by sample, then by place."""
    return at_places(values, places.argsort(dim=1)).flatten(0, 1)


def per_place(order: Tensor, drawn: tuple[int, ...], init: Tensor, later: Tensor) -> Tensor:
    """(B, L, steps, C) from rows of every autoregressive step; null rows' noise is left out."""
    noise = _per_token(init, later[:, : len(init)])  # (B*L rows, steps, C)
    batch, tokens = order.shape
    found = noise.new_zeros(batch, tokens, *noise.shape[1:])
    done = 0
    for count in drawn:
        places = order[:, done : done + count].sort(dim=1).values  # (B, M)
        rows = noise[batch * done : batch * (done + count)]
        found[torch.arange(batch)[:, None], places] = rows.unflatten(0, (batch, count))
        done += count
    return found
