"use strict";
/* The page that compares models: the viewer, and a pane for each result; all panes show the same part. */
{
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const panes = [...document.querySelectorAll(".crops .shot")];
  const pictures = panes.map((pane) => ({ name: pane.dataset.name, src: pane.querySelector("img").src }));
  const close = new View(facts.width, facts.height);
  const viewer = new Viewer(document.getElementById("viewer"), {
    width: facts.width, height: facts.height, pictures, left: 0, right: Math.min(facts.right, pictures.length - 1),
    tap: ({ x, y }) => close.set({ x, y }),
  });
  panes.forEach((pane) => {
    pane.classList.add("pane");
    pane.tabIndex = 0;
    pane.setAttribute("role", "group");
    pane.setAttribute("aria-label", `Crop of ${pane.dataset.name}. Arrow keys pan all crops, plus and minus zoom.`);
    close.add(pane);
    gestures(pane, close);
  });
  const mark = () => viewer.mark({
    x: close.x, y: close.y,
    width: Math.min(facts.width, panes[0].clientWidth / close.zoom),
    height: Math.min(facts.height, panes[0].clientHeight / close.zoom),
  });
  close.fitted = false;
  close.changed.push(mark);
  close.set({ x: facts.x, y: facts.y, zoom: panes[0].clientWidth / facts.crop });
}
