// Brings the response once the page is there. Without JavaScript the button does.
addEventListener("DOMContentLoaded", () => document.getElementById("deliver").submit());
