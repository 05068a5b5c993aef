/** What the schedules page shows, as its address says it; all without. */
export interface ScheduleSearch {
  /** A part of the name. */
  name?: string
}

export function parseScheduleSearch(raw: Record<string, unknown>): ScheduleSearch {
  const name = typeof raw.name === 'string' ? raw.name.trim().slice(0, 128) : ''
  return name === '' ? {} : { name }
}
