// Leaves for the upstream when the time is up, unless the person wants to stay. Without
// JavaScript nothing leaves by itself: the link does.
(() => {
  const timer = document.getElementById("timer");
  const left = document.getElementById("left");
  const stay = document.getElementById("stay");
  const end = Date.now() + 1000 * Number(timer.dataset.seconds);
  const tick = setInterval(() => {
    const seconds = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    left.textContent = String(seconds);
    if (seconds === 0) {
      clearInterval(tick);
      location.replace(document.getElementById("continue").href);
    }
  }, 250);
  stay.addEventListener("click", () => {
    clearInterval(tick);
    timer.hidden = true;
    stay.hidden = true;
    document.getElementById("continue").focus();
  });
  timer.hidden = false;
  stay.hidden = false;
})();
