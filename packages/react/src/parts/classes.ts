/** Own class names with those of the page. */
export function classes(own: string, given: string | undefined): string {
  return given === undefined ? own : `${own} ${given}`
}
