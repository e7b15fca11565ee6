// Tells the merchant's page what happened in its frame, or sends the browser on with a form.
const told = document.getElementById("told");
const tell = (message) => {
  if (window.parent !== window && told?.dataset.origin) {
    window.parent.postMessage(message, told.dataset.origin);
  }
};
if (told?.dataset.event === "success") {
  tell({ event: "success", response: JSON.parse(told.dataset.values) });
} else if (told?.dataset.event === "failed") {
  tell({ event: "failed", error: JSON.parse(told.dataset.values) });
}
for (const button of document.querySelectorAll("[data-dismiss]")) {
  button.addEventListener("click", () => tell({ event: "dismissed" }));
}
document.querySelector("form[data-auto]")?.submit();
