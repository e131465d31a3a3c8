"use strict";

// A page that refreshes itself says when it no longer does: a number of an hour ago looks like one of now.
const stale = document.getElementById("stale");
const since = () => new Date().toLocaleTimeString();
let lastAt = since();
document.addEventListener("htmx:afterSwap", () => { lastAt = since(); stale.hidden = true; });
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) signIn();
  else tell(said(event.detail.xhr.responseText));
});
for (const silence of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(silence, () => tell());
function tell(words) {
  stale.textContent = `${words || "The node does not answer"}: what you see is of ${lastAt}.`;
  stale.hidden = false;
}
function signIn() {
  window.location.assign(`/sign-in?to=${window.location.pathname}`);
}
function said(page) {
  const alert = new DOMParser().parseFromString(page, "text/html").querySelector("main [role=alert]");
  return alert && alert.textContent;
}

// What cannot be taken back is asked for once more.
for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => { if (!window.confirm(form.dataset.ask)) event.preventDefault(); });
}

// Plays a cine whose frames lie in one picture, row by row, at the speed of the heart.
for (const figure of document.querySelectorAll(".cine")) {
  const frames = Number(figure.dataset.frames), aRow = Number(figure.dataset.aRow), frameMs = Number(figure.dataset.frameMs);
  const canvas = figure.querySelector("canvas"), button = figure.querySelector(".play");
  const slider = figure.querySelector("input"), output = figure.querySelector("output");
  const pen = canvas.getContext("2d");
  const sheet = new Image();
  let frame = 0, timer = null;

  function show(which) {
    frame = which % frames;
    pen.drawImage(sheet, (frame % aRow) * canvas.width, Math.floor(frame / aRow) * canvas.height,
      canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    slider.value = frame;
    output.textContent = `${frame + 1} / ${frames}`;
  }
  function play(playing) {
    clearInterval(timer);
    timer = playing ? setInterval(() => show(frame + 1), frameMs) : null;
    button.textContent = playing ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(playing));
  }
  button.addEventListener("click", () => play(timer === null));
  slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
  sheet.addEventListener("load", () => {
    canvas.width = sheet.naturalWidth / aRow;
    canvas.height = sheet.naturalHeight / Math.ceil(frames / aRow);
    show(0);
    play(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  });
  sheet.addEventListener("error", () => { output.textContent = "not to be had"; });
  sheet.src = figure.dataset.sheet;
}

// An ECG that is dropped on the rules is sent as it is; what the node says of it is shown.
for (const form of document.querySelectorAll(".drop")) {
  const target = form.querySelector(".target"), chooser = form.querySelector("input[type=file]");
  const plan = document.getElementById("plan");
  async function ask(file) {
    plan.textContent = `${file.name} …`;
    const given = new URLSearchParams(new FormData(form));
    given.delete("file");
    try {
      const answer = await fetch(`/rules?${given}`, {
        method: "POST", body: file, redirect: "error",
        headers: { "Content-Type": "application/dicom", "X-Form-Token": form.dataset.formToken },
      });
      if (answer.status === 401) return signIn();
      const text = await answer.text();
      if (answer.ok) plan.innerHTML = text;
      else plan.textContent = said(text) || "The node refused it.";
    } catch {
      plan.textContent = "The node does not answer.";
    }
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  chooser.addEventListener("change", () => chooser.files.length && ask(chooser.files[0]));
  for (const kind of ["dragover", "drop"]) target.addEventListener(kind, (event) => event.preventDefault());
  target.addEventListener("dragover", () => target.classList.add("over"));
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    target.classList.remove("over");
    if (event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
}
