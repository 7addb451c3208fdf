export type Theme = "system" | "dark" | "light";

const KEY = "sidetap.theme";
const prefersLight = window.matchMedia("(prefers-color-scheme: light)");

export function readTheme(): Theme {
  const kept = window.localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}

function apply(): void {
  const theme = readTheme();
  document.documentElement.dataset["theme"] = theme === "system" ? (prefersLight.matches ? "light" : "dark") : theme;
}

export function setTheme(theme: Theme): void {
  if (theme === "system") window.localStorage.removeItem(KEY);
  else window.localStorage.setItem(KEY, theme);
  apply();
}

/** Puts the colours on and follows the system. */
export function startTheme(): void {
  apply();
  prefersLight.addEventListener("change", apply);
}
