/** One line of a scrape. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y

/**
 * Reads Prometheus' text format as strictly as it is specified: a type before any sample of a name, no series twice, whole
 * histograms. For tests.
 *
 * @throws {Error} with the invalid line
 */
export function parsePrometheus(text: string): { samples: Sample[]; types: Map<string, string> } {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const types = new Map<string, string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    if (line.startsWith('#')) {
      const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
      if (name === undefined || !NAME.test(name)) throw new Error(`no comment: ${line}`)
      if (kind === 'HELP') continue
      if (types.has(name)) throw new Error(`a second type: ${line}`)
      if (!/^(counter|gauge|histogram|summary)$/.test(rest!)) throw new Error(`no type: ${line}`)
      types.set(name, rest!)
      continue
    }
    const [, name, labelText = '', valueText] = SAMPLE.exec(line) ?? []
    if (name === undefined) throw new Error(`no sample: ${line}`)
    const value = valueText === '+Inf' ? Number.POSITIVE_INFINITY : Number(valueText)
    // Numbers are as in Go, as the format specifies.
    if (Number.isNaN(value) && !/^nan$/i.test(valueText!)) throw new Error(`no value: ${line}`)
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
    if (!types.has(family)) throw new Error(`a sample without a type: ${line}`)
    const series = `${name}{${labelText}}`
    if (seen.has(series)) throw new Error(`a series twice: ${line}`)
    seen.add(series)
    samples.push({ name, labels: labelsOf(labelText, line), value })
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, samples)
  return { samples, types }
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const [, name, value] = LABEL.exec(text) ?? []
    if (name === undefined || value === undefined || name in labels) throw new Error(`wrong labels: ${line}`)
    labels[name] = value.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one))
  }
  return labels
}

/** Buckets never fall, and the last one holds all. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const key = ({ labels: { le: _, ...rest } }: Sample): string => JSON.stringify(rest)
  const counts = new Map(samples.filter((one) => one.name === `${name}_count`).map((one) => [key(one), one.value]))
  for (const [series, count] of counts) {
    const buckets = samples.filter((one) => one.name === `${name}_bucket` && key(one) === series)
    const values = buckets.map(({ value }) => value)
    const rises = values.every((value, index) => index === 0 || value >= values[index - 1]!)
    if (!rises || buckets.at(-1)?.labels.le !== '+Inf' || values.at(-1) !== count) {
      throw new Error(`no whole histogram: ${name} ${series}`)
    }
  }
}
