// The quiz. Without scripts every option has its explanation folded below it. Here the options
// become radio buttons with one button that checks, and the page counts the tries by itself.

let groups = 0;

const element = (tag, attributes) => Object.assign(document.createElement(tag), attributes);

/**
 * Turn the questions in `root` into a quiz. `standing` says by a question's key how the learner
 * stands: `{right, tries}`. `tell(key, option)` is called with each checked option.
 * Returns a function that takes a new `standing`.
 */
export function quiz(root, standing = {}, tell = () => {}) {
  const shows = [...root.querySelectorAll(".mlq")].map((box) => {
    const key = box.dataset.key;
    const name = `mlq-${++groups}-${Math.random().toString(36).slice(2)}`;
    const [text, list] = [box.querySelector("p"), box.querySelector("ul")];
    text.id = name;
    list.setAttribute("role", "radiogroup");
    list.setAttribute("aria-labelledby", name);
    const check = element("button", { type: "button", textContent: "Check", disabled: true });
    const told = element("span");
    const why = element("div", { className: "mlq-why" });
    why.setAttribute("role", "status");
    const reasons = [];
    const inputs = [...list.children].map((line) => {
      const folded = line.querySelector("details");
      reasons.push(folded.querySelector("div"));
      folded.remove();
      const input = element("input", { type: "radio", name });
      // In a notebook arrow keys mean another cell, unless the element itself asks for its keys.
      input.setAttribute("data-lm-suppress-shortcuts", "true");
      input.addEventListener("change", () => {
        check.disabled = false;
        why.replaceChildren();
      });
      const label = element("label");
      const words = element("span");
      words.append(...line.childNodes);
      label.append(input, words);
      line.setAttribute("role", "presentation");
      line.append(label);
      return input;
    });
    check.setAttribute("data-lm-suppress-shortcuts", "true");
    check.addEventListener("click", () => {
      const at = inputs.findIndex((input) => input.checked);
      why.replaceChildren(reasons[at].cloneNode(true));
      const { right = false, tries = 0 } = standing[key] ?? {};
      const now = { right: right || "right" in reasons[at].dataset, tries: tries + 1 };
      standing = { ...standing, [key]: now };
      show();
      tell(key, at);
    });
    const show = () => {
      if (!standing[key]) return;
      const { right, tries } = standing[key];
      const count = tries === 1 ? "1 try" : `${tries} tries`;
      told.textContent = `${right ? "right" : "not yet right"}, ${count}`;
    };
    const row = element("div", { className: "mlq-row" });
    row.append(check, told);
    list.after(row, why);
    show();
    return show;
  });
  return (next) => {
    standing = next;
    shows.forEach((show) => show());
  };
}

/** Live: the kernel remembers the answers. The page explains them, also while the kernel is busy. */
export const live = {
  render({ model, el }) {
    const root = element("div", { className: "ml mobilelab-quiz" });
    const problem = element("div", { className: "ml-problem" });
    problem.setAttribute("role", "alert");
    const body = element("div", { innerHTML: model.get("body") });
    root.append(problem, body);
    el.append(root);
    const stands = quiz(body, model.get("standing"), (key, option) => model.send({ key, option }));
    const on = {
      "change:standing": () => stands(model.get("standing")),
      "change:problem": () => (problem.textContent = model.get("problem")),
    };
    for (const [name, act] of Object.entries(on)) model.on(name, act);
    problem.textContent = model.get("problem");
    return () => {
      for (const [name, act] of Object.entries(on)) model.off(name, act);
    };
  },
};
