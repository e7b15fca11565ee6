// Comfort only: the page works without it.
const number = document.getElementById("number");
const expiry = document.getElementById("expiry");
const form = document.getElementById("pay");
const submit = document.getElementById("submit");

number.addEventListener("input", () => {
  const digits = number.value.replace(/\D/g, "").slice(0, 19);
  number.value = digits.replace(/(.{4})(?=.)/g, "$1 ");
});
expiry.addEventListener("input", (event) => {
  const digits = expiry.value.replace(/\D/g, "").slice(0, 4);
  const typing = !(event.inputType || "").startsWith("delete");
  expiry.value = digits.length > 2 || (digits.length === 2 && typing)
    ? `${digits.slice(0, 2)} / ${digits.slice(2)}` : digits;
});
form.addEventListener("submit", () => {
  submit.disabled = true;
  submit.textContent = "Processing…";
});
// Coming back by the browser's history must not leave the button dead.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
const wrong = document.querySelector("[aria-invalid]");
if (wrong) wrong.focus();
