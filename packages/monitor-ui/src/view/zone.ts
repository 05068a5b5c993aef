/** The time zone in which the monitor shows dates: the reader's own one, or another one that the reader has chosen. */
let zone: string | undefined

export const zoneName = (): string => zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone

/** @param chosen a name of the IANA time zone database; undefined for the reader's own zone. An unknown one is left out. */
export function setZone(chosen: string | undefined): void {
  zone = chosen !== undefined && isZone(chosen) ? chosen : undefined
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** For `toLocaleString` and its relatives. */
export const zoneOption = (): { timeZone?: string } => (zone === undefined ? {} : { timeZone: zone })

/** The time zones of this browser. */
export const knownZones = (): string[] => [
  'UTC',
  ...Intl.supportedValuesOf('timeZone').filter((name) => name !== 'UTC'),
]
