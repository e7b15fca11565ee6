// Opens Razorpay's checkout over its page, and hands what it answers to the service, which verifies
// it. That answer pays nothing: the service asks Razorpay.
"use strict";

const form = document.querySelector("form[data-razorpay]");
const button = form.querySelector("[data-open]");
const broken = document.querySelector("[data-broken]");
const options = JSON.parse(form.dataset.razorpay);

const open = () => {
  if (typeof window.Razorpay !== "function") {
    broken.hidden = false;
    return;
  }
  broken.hidden = true;
  new window.Razorpay({
    ...options,
    handler: (answer) => {
      for (const name of ["razorpay_order_id", "razorpay_payment_id", "razorpay_signature"]) {
        form.elements[name].value = answer[name] || "";
      }
      button.ariaBusy = "true";
      form.requestSubmit();
    },
  }).open();
};

button.addEventListener("click", open);
open();
