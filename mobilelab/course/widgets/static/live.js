// The kernel's model on one side, the page on the other.

import { make } from "./core.js";
import { frame } from "./frame.js";

/** An explorer as anywidget takes it. */
export function live(kind) {
  return {
    render({ model, el }) {
      const root = make("div");
      el.append(root);
      // The kernel sends every move back. One that comes late must not undo the moves since.
      const sent = [];
      let own = false, waiting = null;
      // The picture first: the kernel hears of a move when the frame that shows it is painted.
      function tell() {
        const state = waiting;
        waiting = null;
        if (!state) return;
        sent.push(JSON.stringify(state));
        if (sent.length > 50) sent.shift();
        own = true;
        model.set("state", state);
        own = false;
        model.save_changes();
      }
      const page = frame(root, {
        data: model.get("data"), state: model.get("state"),
        push(state) {
          if (!waiting) requestAnimationFrame(() => setTimeout(tell));
          waiting = state;
        },
      }, kind);
      const on = {
        "change:state": () => {
          if (own) return;
          const at = sent.indexOf(JSON.stringify(model.get("state")));
          if (at >= 0) sent.splice(0, at + 1);
          else page.go(model.get("state"));
        },
        "change:data": () => page.replace(model.get("data")),
        "change:problem": () => page.trouble(model.get("problem")),
        "change:progress": () => page.working(model.get("progress")),
      };
      for (const [name, act] of Object.entries(on)) model.on(name, act);
      page.trouble(model.get("problem"));
      return () => {
        tell();
        for (const [name, act] of Object.entries(on)) model.off(name, act);
        page.stop();
      };
    },
  };
}
