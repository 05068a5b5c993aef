/** A place within a value: names of objects, numbers of lists. */
export type JsonPath = readonly (string | number)[]

/** A value of a tree is an object, a list, or something that has nothing below it. */
export type JsonKind = 'object' | 'list' | 'text' | 'number' | 'other'

export function kindOf(value: unknown): JsonKind {
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'object' && value !== null) return 'object'
  if (typeof value === 'string') return 'text'
  return typeof value === 'number' ? 'number' : 'other'
}

/** How many values are directly below it. */
export const sizeOf = (value: unknown): number =>
  typeof value !== 'object' || value === null ? 0 : Array.isArray(value) ? value.length : Object.keys(value).length

/** The values directly below one, at most `limit` of them. */
export function childrenOf(value: unknown, limit: number): [name: string | number, child: unknown][] {
  if (Array.isArray(value)) return value.slice(0, limit).map((child, index) => [index, child])
  if (typeof value !== 'object' || value === null) return []
  return Object.keys(value)
    .slice(0, limit)
    .map((name) => [name, (value as Record<string, unknown>)[name]])
}

const PLAIN = /^[A-Za-z_$][\w$]*$/

/** As JavaScript reads it: `input.files[3].name`, `input["odd name"]`. */
export function pathText(root: string, path: JsonPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return PLAIN.test(part) ? `${text}.${part}` : `${text}[${JSON.stringify(part)}]`
  }, root)
}

/** A text as it is, everything else as JSON. */
export function copyText(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return JSON.stringify(value, null, 2) ?? 'undefined'
  } catch {
    return String(value)
  }
}

/** How many values a tree shows if everything down to a depth is open; it stops to count at `most`. */
export function countTo(value: unknown, depth: number, most: number): number {
  let count = 1
  if (depth === 0) return count
  for (const [, child] of childrenOf(value, most)) {
    count += countTo(child, depth - 1, most - count)
    if (count >= most) return count
  }
  return count
}
