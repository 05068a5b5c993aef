import type { TaskRow } from '@taskfleet/protocol'

/** Failed tasks by host and `name@version`. */
export interface Places {
  /** The one with the most first; empty for tasks whose host is not known. */
  hosts: string[]
  /** The one with the most first. */
  types: string[]
  count(host: string, type: string): number
}

export function placesOf(tasks: readonly Pick<TaskRow, 'host' | 'name' | 'version'>[]): Places {
  const [cells, hosts, types] = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()]
  const add = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)
  for (const { host = '', name, version } of tasks) {
    const type = `${name}@${version}`
    add(cells, `${host}\n${type}`)
    add(hosts, host)
    add(types, type)
  }
  return {
    hosts: byCount(hosts),
    types: byCount(types),
    count: (host, type) => cells.get(`${host}\n${type}`) ?? 0,
  }
}

const byCount = (counts: ReadonlyMap<string, number>): string[] =>
  [...counts].sort(([a, first], [b, second]) => second - first || (a < b ? -1 : 1)).map(([key]) => key)
