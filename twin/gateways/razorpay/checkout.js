// Checkout for the merchant's page: `new Razorpay(options).open()`, as the real script has it.
(() => {
  "use strict";
  const base = new URL(document.currentScript.src).origin;
  const simple = ["order_id", "amount", "currency", "name", "description", "image", "callback_url"];
  const groups = ["prefill", "notes"];

  const query = (options) => {
    const values = new URLSearchParams({ key_id: options.key || options.key_id || "" });
    for (const name of simple) if (options[name] !== undefined) values.set(name, options[name]);
    for (const group of groups) {
      for (const [name, value] of Object.entries(options[group] || {})) {
        values.set(`${group}[${name}]`, value);
      }
    }
    if (options.redirect) values.set("redirect", "true");
    values.set("origin", window.location.origin);
    return values;
  };

  class Razorpay {
    constructor(options) {
      if (!options || !(options.key || options.key_id)) throw new Error("No key passed");
      this.options = options;
      this.listeners = {};
      this.hear = this.hear.bind(this);
    }

    on(event, listener) {
      (this.listeners[event] = this.listeners[event] || []).push(listener);
      return this;
    }

    open() {
      if (this.frame) return this;
      const address = `${base}/v1/checkout/public?${query(this.options)}`;
      if (this.options.redirect) {
        window.location.assign(address);
        return this;
      }
      this.frame = document.createElement("iframe");
      this.frame.className = "razorpay-checkout-frame";
      this.frame.title = "Razorpay Checkout";
      this.frame.allow = "payment";
      Object.assign(this.frame.style, {
        position: "fixed", inset: "0", width: "100%", height: "100%", border: "0", zIndex: "2147483647",
      });
      this.frame.src = address;
      window.addEventListener("message", this.hear);
      document.body.append(this.frame);
      this.frame.focus();
      return this;
    }

    close() {
      if (!this.frame) return;
      window.removeEventListener("message", this.hear);
      this.frame.remove();
      this.frame = undefined;
    }

    hear(message) {
      if (message.origin !== base || message.source !== this.frame?.contentWindow) return;
      const { event, response, error } = message.data || {};
      if (event === "success") {
        this.close();
        if (this.options.handler) this.options.handler(response);
        else if (this.options.callback_url) Razorpay.post(this.options.callback_url, response);
      } else if (event === "failed") {
        for (const listener of this.listeners["payment.failed"] || []) listener({ error });
      } else if (event === "dismissed") {
        this.close();
        this.options.modal?.ondismiss?.();
      }
    }

    static post(address, values) {
      const form = document.createElement("form");
      form.method = "post";
      form.action = address;
      for (const [name, value] of Object.entries(values)) {
        const field = document.createElement("input");
        field.type = "hidden";
        field.name = name;
        field.value = value;
        form.append(field);
      }
      document.body.append(form);
      form.submit();
    }
  }
  window.Razorpay = Razorpay;
})();
