/** What the user has chosen for every page of this browser. Where storage is refused, a choice lives as long as the page. */
export function keptChoice(name: string): string | undefined {
  try {
    return localStorage.getItem(`taskfleet.${name}`) ?? undefined
  } catch {
    return undefined
  }
}

export function keepChoice(name: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(`taskfleet.${name}`)
    else localStorage.setItem(`taskfleet.${name}`, value)
  } catch {
    // Storage is refused.
  }
}
