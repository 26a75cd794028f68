// What the browser says of a page: its title, and what Dash's own components call themselves.
(() => {
  "use strict";
  const drop = (element, ...names) => names.forEach((name) => element.removeAttribute(name));
  const set = (element, name, value) => {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const mend = () => {
    const title = document.getElementById("title")?.textContent;
    const whole = title && title !== "levada" ? `${title} · levada` : "levada";
    if (title !== undefined && document.title !== whole) document.title = whole;
    // radios in labels, which are no list box of options
    document.querySelectorAll(".dash-radioitems[role]").forEach((list) => drop(list, "role"));
    document
      .querySelectorAll(".dash-radioitems label[role]")
      .forEach((label) => drop(label, "role", "aria-selected"));
    // hidden from screen readers, so not to be reached by keyboard either: the button beside it is
    document
      .querySelectorAll(".dash-dropdown-focus-target[aria-hidden]")
      .forEach((input) => set(input, "tabindex", "-1"));
    document.querySelectorAll("[data-slider-name]").forEach((slider) => {
      const thumb = slider.querySelector("[role=slider]");
      if (!thumb) return;
      set(thumb, "aria-label", slider.dataset.sliderName);
      const text = document.getElementById(slider.dataset.sliderText)?.textContent;
      if (text) set(thumb, "aria-valuetext", text);
    });
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mend();
    });
  };
  new MutationObserver(soon).observe(document, {
    subtree: true,
    childList: true,
    characterData: true,
    attributeFilter: ["role", "aria-selected", "tabindex"],
  });
})();
