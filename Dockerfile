# CardioNode in a container; docs/handbook/operations.md says how to run it. BuildKit builds it (Docker 23 and later):
#   docker build -t cardionode .
#   docker build -t cardionode-gpu --target gpu .     for an NVIDIA GPU; see there
# With the libraries of an extra, or of several:  --build-arg EXTRAS=[fhir,s3]

FROM python:3.11-slim-bookworm AS wheels
WORKDIR /usr/src/cardionode
COPY . .
ARG EXTRAS=
RUN pip wheel --no-cache-dir -c .ci/constraints.txt --wheel-dir /wheels ".$EXTRAS"

FROM wheels AS wheels-gpu
RUN pip wheel --no-cache-dir -c .ci/constraints.txt --wheel-dir /wheels \
        ".$EXTRAS" ".[tensorrt,tensorrt-rtx]"

# All but the libraries. What is written goes to the volume and to /tmp: the root may be read-only.
FROM python:3.11-slim-bookworm AS runtime
RUN groupadd --gid 10001 cardionode \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/cardionode --no-create-home \
        --shell /usr/sbin/nologin cardionode \
    && install -d -m 700 -o 10001 -g 10001 /var/lib/cardionode
# The slim image has no bytecode of Python's own; who may not write would compile at every start.
RUN python3.11 -m compileall -q -x '/tests?/|badsyntax|bad_coding' \
        "$(python3.11 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY config/node.toml /etc/cardionode/node.toml
# HOME has the engines of a GPU, below .cache. CARDIONODE_HEALTH follows web.host and web.port.
ENV PATH=/opt/cardionode/bin:$PATH \
    HOME=/var/lib/cardionode \
    CARDIONODE_CONFIG=/etc/cardionode/node.toml \
    CARDIONODE_HOME=/var/lib/cardionode \
    CARDIONODE_HEALTH=127.0.0.1:8080 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/cardionode
VOLUME /var/lib/cardionode
EXPOSE 11112 2575 8080
STOPSIGNAL SIGTERM
# Not urllib, which would ask a proxy. A first start may build engines, or upgrade a large database.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30m --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, os, sys; \
        node = http.client.HTTPConnection(os.environ['CARDIONODE_HEALTH'], timeout=5); \
        node.request('GET', '/healthz'); \
        answer = node.getresponse(); \
        print(answer.read().decode()); \
        sys.exit(answer.status != 200)"]
ENTRYPOINT ["cardionode"]
CMD ["serve"]

# Not built by Docker, and not run on hardware, by us. The driver comes from the host (--gpus all, with NVIDIA's
# container toolkit), TensorRT for RTX from its wheels. TensorRT, which a GPU of a data centre takes,
# is for you to add, from NVIDIA and by its licence; without it the CPU serves there.
FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG EXTRAS=
# The wheels that are there were pinned.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheels-gpu,source=/wheels,target=/wheels \
    python3.11 -m venv --without-pip /opt/cardionode \
    && pip --python /opt/cardionode/bin/python install --no-cache-dir --no-index \
        --find-links /wheels "cardionode$EXTRAS" "cardionode[tensorrt,tensorrt-rtx]"
USER 10001:10001

FROM runtime AS cpu
ARG EXTRAS=
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python3.11 -m venv --without-pip /opt/cardionode \
    && pip --python /opt/cardionode/bin/python install --no-cache-dir --no-index \
        --find-links /wheels "cardionode$EXTRAS"
USER 10001:10001
