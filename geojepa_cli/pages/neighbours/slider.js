// Turns each map with an image next to it into one picture with a slider: the image is shown right of the line.
for (const pair of document.querySelectorAll(".pair.both")) {
  const slider = document.createElement("input");
  const set = () => {
    pair.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `map ${slider.value} %, image ${100 - slider.value} %`);
  };
  Object.assign(slider, { type: "range", min: 0, max: 100, step: 5, value: 50, className: "slider" });
  slider.setAttribute("aria-label", pair.dataset.label);
  slider.addEventListener("input", set);
  pair.append(slider);
  set();
}
document.documentElement.classList.add("sliders");
