import type { RowSource } from '../row-source.ts'
import { formatAge } from './amounts.ts'

/** The source of a row's figures in a few words. */
export function sourceText(source: RowSource): string {
  switch (source.kind) {
    case 'live':
      return source.via === 'relay' ? 'live by relay' : 'live'
    case 'stored':
      return source.ageMs === undefined ? 'stored, no report yet' : `stored ${formatAge(source.ageMs)} ago`
    case 'checkpoint':
      return source.ageMs === undefined ? 'no report yet' : `checkpoint ${formatAge(source.ageMs)} old`
    case 'silent':
      return `host silent ${formatAge(source.ageMs)}`
    case 'reconnecting':
      return 'reconnecting'
    case 'none':
      return ''
  }
}

/** What a source means. */
export const SOURCE_HINT: Record<RowSource['kind'], string> = {
  live: 'Figures come from its host',
  stored: 'Its worker does not listen. Figures come from the database, where they are stored about once a second',
  checkpoint: 'Its host is not connected. Figures come from the last checkpoint in the database',
  silent: 'Its host has missed three heartbeats',
  reconnecting: 'The gateway is unreachable. Figures may be out of date',
  none: '',
}
