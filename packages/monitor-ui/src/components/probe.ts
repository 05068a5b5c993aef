/** A CSS colour for the canvas: `light-dark()` and variables resolved. */
export function probe(near: HTMLElement, colour: string): string {
  const span = document.createElement('span')
  span.style.color = colour
  near.append(span)
  const resolved = getComputedStyle(span).color
  span.remove()
  return resolved
}
