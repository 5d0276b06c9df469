// Goes to the application at once, and on without it where it does not answer for ten seconds: a browser keeps
// this page until it does. Without JavaScript the links do both. Once all of it is there: what leaves earlier is seen
// half.
addEventListener("DOMContentLoaded", () => {
  const go = document.getElementById("go");
  const skip = document.getElementById("skip");
  setTimeout(() => location.replace(skip.href), 10000);
  if (go.href) location.replace(go.href);
  else go.submit();
});
