// The reader's theme: the system's until the button is used, then what was chosen last.
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  theme: {
    choose: function (clicks) {
      const root = document.documentElement;
      let kept = null;
      try {
        kept = localStorage.getItem("theme");
      } catch (error) {
        // Without storage the theme lasts as long as the page.
      }
      const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      let theme = root.dataset.theme || kept || system;
      if (clicks) {
        theme = theme === "dark" ? "light" : "dark";
        try {
          localStorage.setItem("theme", theme);
        } catch (error) {
          // As above.
        }
      }
      root.dataset.theme = theme;
      return theme;
    },
  },
});
