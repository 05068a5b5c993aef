const UNITS: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
}

/** A number of bytes, or a text such as `5MB` (decimal) or `1GiB` (binary). */
export type ByteSize = number | string

/** @throws {RangeError} when the text is no size */
export function byteSize(size: ByteSize): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(String(size)) ?? []
  const factor = UNITS[unit?.toUpperCase() ?? '?']
  if (amount === undefined || factor === undefined) throw new RangeError(`"${size}" is no size: write 5MB or 1GiB`)
  return Math.floor(Number(amount) * factor)
}
