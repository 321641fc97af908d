"use strict";
/* The server's page: it sends a file to POST /upscale twice, for bicubic and for the model, and shows both results. */
{
  const at = (id) => document.getElementById(id);
  let running = null;
  let file = null;
  let urls = [];

  const say = (text, failed = false) => {
    at("status").textContent = text;
    at("status").classList.toggle("failed", failed);
  };

  const address = (blob) => {
    const url = URL.createObjectURL(blob);
    urls.push(url);
    return url;
  };

  const ask = async (model, format, signal) => {
    const query = new URLSearchParams({ scale: at("scale").value, model, format });
    const answer = await fetch(`upscale?${query}`, { method: "POST", body: file, signal });
    if (!answer.ok) {
      const what = await answer.json().catch(() => ({}));
      throw new Error(what.error || `the server answered ${answer.status}`);
    }
    return { blob: await answer.blob(), facts: answer.headers };
  };

  const forget = () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = [];
    at("viewer").replaceChildren();
    at("download").hidden = at("hint").hidden = true;
  };

  const show = (before, after, name) => {
    const [width, height] = after.facts.get("cvsr-size").split("x").map(Number);
    at("viewer").replaceChildren();
    new Viewer(at("viewer"), {
      width, height, pictures: [{ name: "bicubic", src: address(before.blob) }, { name, src: address(after.blob) }],
    });
    at("hint").hidden = false;
  };

  const offer = (after, format) => {
    const link = at("download");
    link.href = address(after.blob);
    link.download = `${file.name.replace(/\.[^.]*$/, "") || "image"}_x${at("scale").value}.${format}`;
    link.hidden = false;
    say(`${after.facts.get("cvsr-size")} pixels by ${after.facts.get("cvsr-model")}, in ${
      Number(after.facts.get("cvsr-seconds")).toFixed(2)} seconds; ${(after.blob.size / 1e6).toFixed(1)} MB.`);
  };

  const upscale = async () => {
    if (!file) return;
    if (running) running.abort();
    const mine = running = new AbortController();
    const [model, format] = [at("model").value, at("format").value];
    forget();
    at("actions").hidden = at("cancel").hidden = false;
    say(`Enlarging ${file.name} …`);
    try {
      const before = await ask("bicubic", "png", mine.signal);
      const after = await ask(model, format, mine.signal);
      if (mine !== running) return;
      show(before, after, model);
      offer(after, format);
    } catch (error) {
      if (mine === running) say(error.name === "AbortError" ? "Cancelled." : `Failed: ${error.message}`, error.name !== "AbortError");
    } finally {
      if (mine === running) at("cancel").hidden = true;
    }
  };

  const take = (list) => {
    if (!list || !list.length) return;
    [file] = list;
    upscale();
  };

  const fill = async () => {
    const { default: first, families, names } = await (await fetch("models")).json();
    const listed = [...new Set([first, ...families.map((family) => family.name)])].filter((name) => names.includes(name));
    at("model").append(...listed.map((name) => new Option(name, name)));
  };

  at("form").addEventListener("submit", (event) => event.preventDefault());
  at("file").addEventListener("change", () => take(at("file").files));
  at("cancel").addEventListener("click", () => running.abort());
  ["scale", "model", "format"].forEach((id) => at(id).addEventListener("change", upscale));
  document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
  document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  fill().catch((error) => say(`Failed: ${error.message}`, true));
}
