// Goes on once every frame is there, or after five seconds. Without JavaScript the page does so by itself, later.
(() => {
  const frames = document.querySelectorAll("iframe");
  const go = () => location.replace("/logout/round");
  setTimeout(go, 5000);
  addEventListener("load", go);
  if (frames.length === 0) go();
})();
