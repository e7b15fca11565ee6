// Small helpers. Every page works without them.
"use strict";

// Times in the reader's own zone, which they name; the server writes UTC.
for (const time of document.querySelectorAll("time[datetime]")) {
  const when = new Date(time.dateTime);
  if (!Number.isNaN(when.getTime())) {
    time.title = time.textContent.trim();
    time.textContent = when.toLocaleString("en-GB", {
      day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
      timeZoneName: "short",
    });
  }
}

// A form is sent once; coming back to the page makes it usable again.
for (const form of document.querySelectorAll("form")) {
  const busy = (on) => {
    for (const button of form.querySelectorAll("button:not([type=button])")) {
      button.ariaBusy = String(on);
    }
  };
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    busy(true);
  });
  window.addEventListener("pageshow", () => {
    sent = false;
    busy(false);
  });
}

for (const button of document.querySelectorAll("button[data-reveals]")) {
  const input = document.getElementById(button.dataset.reveals);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(shown));
  });
}

// While an order waits for its confirmation: ask, slower each time, and show the page anew when
// the answer differs. After three minutes the page says that it has stopped asking.
const waiting = document.querySelector("[data-poll]");
if (waiting) {
  const until = Date.now() + 180_000;
  let pause = 1000;
  const ask = async () => {
    if (Date.now() > until) {
      for (const part of document.querySelectorAll("[data-gave-up]")) part.hidden = false;
      return;
    }
    if (!document.hidden) {
      try {
        const answer = await fetch(waiting.dataset.poll, { headers: { accept: "application/json" } });
        if (answer.status === 401 || answer.status === 404) return location.reload();
        if (answer.ok && (await answer.json()).status !== waiting.dataset.status) {
          return location.reload();
        }
      } catch {
        // Offline or a restart: ask again.
      }
    }
    pause = Math.min(pause * 1.3, 5000);
    setTimeout(ask, pause);
  };
  setTimeout(ask, pause);
}
