// Brings the response at once. Without JavaScript the button does.
document.getElementById("deliver").submit();
