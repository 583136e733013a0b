// Sets how much of the aerial images is visible below the colours.
const slider = document.querySelector("#opacity");
const set = () => document.querySelector("#heat").setAttribute("opacity", slider.value / 100);
slider.addEventListener("input", set);
set();
