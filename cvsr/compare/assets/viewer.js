"use strict";
/* The viewer of both pages: images of one size behind a divider, and panes that show a crop.

   View      the visible part of an image and its zoom; the panes that show it
   gestures  wheel, drag, pinch and keys on an element, for a View
   Viewer    two images on top of each other with a divider between them */

class View {
  constructor(width, height) {
    Object.assign(this, { width, height, x: width / 2, y: height / 2, zoom: 0, panes: [], changed: [] });
  }

  /* zoom is in CSS pixels per image pixel; a pane has the size of its element */
  get fit() {
    const sizes = this.panes.map((pane) => Math.min(pane.clientWidth / this.width, pane.clientHeight / this.height));
    return Math.min(...sizes) || 1;
  }

  get fits() {
    return this.zoom <= this.fit * 1.001;
  }

  get percent() {
    return Math.round(this.zoom * devicePixelRatio * 100);
  }

  add(pane) {
    this.panes.push(pane);
    new ResizeObserver(() => this.set(this.fitted === false ? {} : { zoom: 0 })).observe(pane);
  }

  /* Move or zoom, within the image, and update the panes. */
  set({ x = this.x, y = this.y, zoom = this.zoom } = {}) {
    this.zoom = Math.min(Math.max(zoom, this.fit), Math.max(32 / devicePixelRatio, this.fit));
    this.fitted = this.fits;
    const pane = this.panes[0];
    const inside = (at, length, room) => {
      const half = room / 2 / this.zoom;
      return half * 2 >= length ? length / 2 : Math.min(Math.max(at, half), length - half);
    };
    this.x = inside(x, this.width, pane.clientWidth);
    this.y = inside(y, this.height, pane.clientHeight);
    this.panes.forEach((each) => this.place(each));
    this.changed.forEach((tell) => tell(this));
  }

  place(pane) {
    const { left, top } = this.corner(pane);
    pane.querySelectorAll("img").forEach((image) => {
      image.style.transform = `translate(${left}px, ${top}px) scale(${this.zoom})`;
      image.style.imageRendering = this.zoom * devicePixelRatio >= 2 ? "pixelated" : "auto";
    });
  }

  /* The position of the image's top left corner in a pane. */
  corner(pane) {
    return { left: pane.clientWidth / 2 - this.x * this.zoom, top: pane.clientHeight / 2 - this.y * this.zoom };
  }

  /* The image pixel under a point of a pane, given in client coordinates. */
  under(pane, clientX, clientY) {
    const box = pane.getBoundingClientRect();
    const { left, top } = this.corner(pane);
    return { x: (clientX - box.left - left) / this.zoom, y: (clientY - box.top - top) / this.zoom };
  }

  pan(dx, dy) {
    this.set({ x: this.x - dx / this.zoom, y: this.y - dy / this.zoom });
  }

  zoomBy(factor, pane = this.panes[0], clientX = null, clientY = null) {
    if (clientX === null) return this.set({ zoom: this.zoom * factor });
    const before = this.under(pane, clientX, clientY);
    this.set({ zoom: this.zoom * factor });
    const after = this.under(pane, clientX, clientY);
    return this.set({ x: this.x + before.x - after.x, y: this.y + before.y - after.y });
  }
}

/* Let wheel, drag, pinch and keys on a pane move a view. tap(event): a click without a drag; drag(event): a drag
   while the whole image is visible, or one that began on the element ``handle``. */
function gestures(pane, view, { tap = () => {}, drag = () => {}, handle = null } = {}) {
  const fingers = new Map();
  let moved = false;
  let held = false;
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, length: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  pane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pane.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = fingers.size > 1;
    held = handle !== null && handle.contains(event.target);
  });
  pane.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    moved = true;
    const before = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (before) {
      const after = spread();
      view.zoomBy(after.length / before.length, pane, before.x, before.y);
      view.pan(after.x - before.x, after.y - before.y);
    } else if (held || view.fits) {
      drag(event);
    } else {
      view.pan(dx, dy);
    }
  });
  const up = (event) => {
    if (fingers.delete(event.pointerId) && !moved && !held && event.type === "pointerup") tap(event);
  };
  pane.addEventListener("pointerup", up);
  pane.addEventListener("pointercancel", up);
  pane.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && view.fits) return; // already zoomed out: the page scrolls
    event.preventDefault();
    view.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002)), pane, event.clientX, event.clientY);
  }, { passive: false });
  pane.addEventListener("keydown", (event) => {
    const step = 40;
    const keys = {
      ArrowLeft: () => view.pan(step, 0), ArrowRight: () => view.pan(-step, 0),
      ArrowUp: () => view.pan(0, step), ArrowDown: () => view.pan(0, -step),
      "+": () => view.zoomBy(1.25), "=": () => view.zoomBy(1.25), "-": () => view.zoomBy(0.8),
      0: () => view.set({ zoom: 0 }), 1: () => view.set({ zoom: 1 / devicePixelRatio }),
    };
    if (event.target !== pane || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  view.changed.push(() => { pane.style.touchAction = view.fits ? "pan-y" : "none"; });
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

class Viewer {
  /* pictures: [{name, src}], all of one size; left, right: the indices shown; tap({x, y}): called on a click. */
  constructor(home, { width, height, pictures, left = 0, right = 1, tap = () => {} }) {
    Object.assign(this, { pictures, left, right, position: 50 });
    this.view = new View(width, height);
    this.build(home, tap);
    this.view.add(this.stage);
    this.view.changed.push(() => {
      this.readout.textContent = `${this.view.percent} %`;
      if (this.frame.at) this.mark(this.frame.at);
    });
    this.show(left, right);
    this.divide(50);
    this.view.set({ zoom: 0 });
  }

  build(home, tap) {
    const layer = (side) => element("div", { class: `layer ${side}` }, element("img", { alt: "", draggable: "false" }));
    this.layers = { left: layer("left"), right: layer("right") };
    this.tags = { left: element("span", { class: "tag left" }), right: element("span", { class: "tag right" }) };
    this.divider = element("div", {
      class: "divider", role: "slider", tabindex: "0", "aria-label": "Divider between the two images",
      "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "100",
    }, element("span", { class: "grip", "aria-hidden": "true" }));
    this.frame = element("div", { class: "frame", "aria-hidden": "true" });
    this.stage = element("div", {
      class: "stage pane", tabindex: "0", role: "group",
      "aria-label": "Two images on top of each other. Arrow keys pan, plus and minus zoom, 0 fits the image.",
    }, this.layers.right, this.layers.left, this.frame, this.tags.left, this.tags.right, this.divider);
    this.stage.style.aspectRatio = `${this.view.width} / ${this.view.height}`;
    home.append(this.controls(), this.stage);
    gestures(this.stage, this.view, {
      tap: (event) => tap(this.view.under(this.stage, event.clientX, event.clientY)),
      drag: (event) => this.divideAt(event.clientX), handle: this.divider,
    });
    this.divider.addEventListener("keydown", (event) => this.pressed(event));
  }

  controls() {
    this.choices = {};
    const choice = (side) => {
      const select = element("select", { name: side }, ...this.pictures.map((picture, index) =>
        element("option", { value: index }, picture.name)));
      select.addEventListener("change", () => this.show(+this.choices.left.value, +this.choices.right.value));
      this.choices[side] = select;
      return element("label", {}, side === "left" ? "Left" : "Right", select);
    };
    const button = (text, label, act) => {
      const made = element("button", { type: "button", "aria-label": label, title: label }, text);
      made.addEventListener("click", act);
      return made;
    };
    this.readout = element("output", { "aria-label": "Zoom" });
    const zooms = element("span", { class: "group" },
      button("−", "Zoom out", () => this.view.zoomBy(0.8)), this.readout,
      button("+", "Zoom in", () => this.view.zoomBy(1.25)),
      button("Fit", "Fit the whole image", () => this.view.set({ zoom: 0 })),
      button("1:1", "Actual pixels",
        () => this.view.set({ zoom: 1 / devicePixelRatio })));
    const swap = button("⇄", "Swap left and right", () => this.show(this.right, this.left));
    return element("div", { class: "controls" },
      element("span", { class: "group sides" }, choice("left"), swap, choice("right")), zooms);
  }

  /* Move the divider with the keyboard. */
  pressed(event) {
    const at = this.position;
    const places = {
      ArrowLeft: at - 2, ArrowDown: at - 2, ArrowRight: at + 2, ArrowUp: at + 2,
      PageDown: at - 10, PageUp: at + 10, Home: 0, End: 100,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    this.divide(places[event.key]);
  }

  /* Show two of the images and their names. */
  show(left, right) {
    Object.assign(this, { left, right });
    for (const side of ["left", "right"]) {
      const picture = this.pictures[this[side]];
      const image = this.layers[side].firstChild;
      image.src = picture.src;
      image.alt = picture.name;
      this.tags[side].textContent = picture.name;
      this.choices[side].value = this[side];
    }
    this.divide(this.position);
  }

  divideAt(clientX) {
    const box = this.stage.getBoundingClientRect();
    this.divide((clientX - box.left) / box.width * 100);
  }

  /* Put the divider at a percentage of the stage's width. */
  divide(percent) {
    const at = Math.min(Math.max(percent, 0), 100);
    this.position = at;
    this.layers.left.style.clipPath = `inset(0 ${100 - at}% 0 0)`;
    this.divider.style.left = `${at}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(at));
    const [left, right] = [this.left, this.right].map((index) => this.pictures[index].name);
    this.divider.setAttribute("aria-valuetext", `${Math.round(at)} % ${left}, the rest ${right}`);
  }

  /* Frame a part of the image, given by its center and size in pixels. */
  mark(at) {
    const { left, top } = this.view.corner(this.stage);
    const { zoom } = this.view;
    Object.assign(this.frame, { at });
    Object.assign(this.frame.style, {
      display: "block", left: `${left + (at.x - at.width / 2) * zoom}px`, top: `${top + (at.y - at.height / 2) * zoom}px`,
      width: `${at.width * zoom}px`, height: `${at.height * zoom}px`,
    });
  }
}
