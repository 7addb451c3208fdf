// A policy that another page drew up and the editor takes over.
const KEY = "sidetap.policy-draft";

export function keepDraft(text: string): void {
  window.sessionStorage.setItem(KEY, text);
}

export function readDraft(): string | null {
  return window.sessionStorage.getItem(KEY);
}

export function dropDraft(): void {
  window.sessionStorage.removeItem(KEY);
}
