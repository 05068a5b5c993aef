const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

/**
 * A copy of a value with its parts changed, however deep. Objects that are not plain, such as dates and ids, are parts.
 *
 * @param change the value for a part
 * @param keeps false for fields that the copy leaves out
 */
export function mapDeep(
  value: unknown,
  change: (part: unknown) => unknown = (part) => part,
  keeps: (field: string, holder: object) => boolean = () => true,
): unknown {
  if (Array.isArray(value)) return value.map((one) => mapDeep(one, change, keeps))
  if (!isPlain(value)) return change(value)
  const kept = Object.entries(value).filter(([field]) => keeps(field, value))
  return Object.fromEntries(kept.map(([field, inner]) => [field, mapDeep(inner, change, keeps)]))
}
