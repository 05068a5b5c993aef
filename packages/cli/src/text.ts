import type { TaskRow } from '@taskfleet/protocol'

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Makes control characters visible in a text, and those that change the writing direction. */
export function printable(text: string): string {
  return text.replace(UNSEEN, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)
}

/** As JSON escapes it. */
const escaped = (char: string): string =>
  Array.from({ length: char.length }, (_, unit) => `\\u${char.charCodeAt(unit).toString(16).padStart(4, '0')}`).join('')

/** JSON in which the same characters are escaped; it reads back as the same value. */
export const printableJson = (value: unknown): string => JSON.stringify(value).replace(UNSEEN, escaped)

/**
 * Makes control characters visible in the whole answer of a command. Line breaks and tabs stay, and JSON keeps its value.
 */
export const printableAnswer = (text: string): string =>
  text.replace(UNSEEN, (char) => (char === '\n' || char === '\t' ? char : escaped(char)))

/** A message as one printable line. */
export function oneLine(text: string): string {
  return printable(text.replace(/\s*[\r\n]+\s*/g, ' ').trim())
}

/** Columns that line up, without a frame. Cells may hold any text. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((line) => line.map(printable))
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, count > 0 ? Math.floor(Math.log10(count) / 3) : 0)
  return `${(count / 1_000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

export function bar(ratio: number, width = 24): string {
  const filled = Math.round(Math.max(0, Math.min(1, ratio)) * width)
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
}

/** The progress of a task in a few characters. */
export function progressText({ progress }: Pick<TaskRow, 'progress'>): string {
  if (progress === undefined) return ''
  const { ratio, done, total, unit, message } = progress
  const amount = (count: number): string => (unit === 'bytes' ? bytes(count) : String(count))
  const parts = [
    ratio === undefined ? undefined : `${(ratio * 100).toFixed(1)} %`,
    done === undefined ? undefined : total === undefined ? amount(done) : `${amount(done)} of ${amount(total)}`,
    message === undefined ? undefined : printable(message),
  ]
  return parts.filter((part) => part !== undefined).join('  ')
}

/** A document with one field in each line. */
export const fieldLines = (row: object): string =>
  Object.entries(row)
    .map(
      ([field, value]) =>
        `${printable(field).padEnd(16)} ${typeof value === 'string' ? printable(value) : printableJson(value)}`,
    )
    .join('\n')

/** @returns `, version 1.2.0 and 1.3.0`, or '' without workers */
export function versionsText(workers: readonly { version: string }[]): string {
  const versions = [...new Set(workers.map(({ version }) => version))]
  return versions.length > 0 ? `, version ${versions.join(' and ')}` : ''
}
