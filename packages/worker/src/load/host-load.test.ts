import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { HostLoad, type HostSource, thisHost } from './host-load.ts'

const GIB = 1_024 ** 3

/** A machine of fixture texts, with a clock that stands still until it is moved. */
function machine(source: Partial<HostSource> = {}) {
  const files: Record<string, string> = {}
  const clock = { now: 0 }
  const asked: string[] = []
  const full: HostSource = {
    platform: 'linux',
    readText: async (path) => {
      asked.push(path)
      return files[path]
    },
    diskSpace: async () => ({ free: 1, total: 2 }),
    cpuTimes: () => ({ busy: 0, total: 0 }),
    memory: () => ({ free: 0, total: 0 }),
    now: () => clock.now,
    ...source,
  }
  return { files, clock, asked, source: full }
}

describe('on Linux', () => {
  test('CPU is the busy part of the machine since the last reading, and unknown at the first', async () => {
    const { files, clock, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/stat'] = 'cpu  100 0 0 900 0 0 0 0 0 0\n'
    expect((await load.read()).cpu).toBeUndefined()
    clock.now += 1_000
    files['/proc/stat'] = 'cpu  250 0 0 950 0 0 0 0 0 0\n'
    expect((await load.read()).cpu).toBe(0.75)
    expect((await load.read()).cpu).toBe(0.75)
  })

  test('a container is measured against its quota', async () => {
    const { files, clock, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/self/cgroup'] = '0::/\n'
    files['/sys/fs/cgroup/cpu.max'] = '200000 100000\n'
    files['/sys/fs/cgroup/cpu.stat'] = 'usage_usec 1000000\n'
    files['/proc/stat'] = 'cpu  0 0 0 1000 0 0 0 0 0 0\n'
    await load.read()
    clock.now += 1_000
    files['/sys/fs/cgroup/cpu.stat'] = 'usage_usec 2800000\n'
    files['/proc/stat'] = 'cpu  10 0 0 1090 0 0 0 0 0 0\n'
    expect((await load.read()).cpu).toBeCloseTo(0.9)
  })

  test('a busy machine counts for a container that is idle', async () => {
    const { files, clock, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/self/cgroup'] = '0::/\n'
    files['/sys/fs/cgroup/cpu.max'] = '200000 100000\n'
    files['/sys/fs/cgroup/cpu.stat'] = 'usage_usec 0\n'
    files['/proc/stat'] = 'cpu  0 0 0 0 0 0 0 0 0 0\n'
    await load.read()
    clock.now += 1_000
    files['/proc/stat'] = 'cpu  95 0 0 5 0 0 0 0 0 0\n'
    expect((await load.read()).cpu).toBe(0.95)
  })

  test('a counter that went back gives no figure', async () => {
    const { files, clock, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/stat'] = 'cpu  100 0 0 900\n'
    await load.read()
    clock.now += 1_000
    files['/proc/stat'] = 'cpu  10 0 0 90\n'
    expect((await load.read()).cpu).toBeUndefined()
    files['/proc/stat'] = 'cpu  60 0 0 140\n'
    expect((await load.read()).cpu).toBe(0.5)
  })

  test('free memory is that of the tightest limit, of the machine or a group around the process', async () => {
    const { files, clock, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/meminfo'] = 'MemTotal: 1000 kB\nMemAvailable: 500 kB\n'
    expect((await load.read()).memory).toEqual({ left: 0.5, bytes: 500 * 1_024 })
    files['/proc/self/cgroup'] = '0::/\n'
    files['/sys/fs/cgroup/memory.max'] = `${GIB}\n`
    files['/sys/fs/cgroup/memory.current'] = `${0.75 * GIB}\n`
    clock.now += 60_000
    expect((await load.read()).memory).toEqual({ left: 0.25, bytes: GIB / 4 })
    files['/proc/meminfo'] = 'MemTotal: 1000 kB\nMemAvailable: 100 kB\n'
    expect((await load.read()).memory).toEqual({ left: 0.1, bytes: 100 * 1_024 })
  })

  test('limits are read from time to time, a reading opens few files', async () => {
    const { files, clock, asked, source } = machine()
    const load = new HostLoad([], source)
    files['/proc/self/cgroup'] = '0::/a/b/c\n'
    await load.read()
    asked.length = 0
    clock.now += 1_000
    await load.read()
    expect(asked).toEqual(['/proc/stat', '/proc/meminfo'])
  })

  test('without any of the files there are no figures and no errors', async () => {
    const { source } = machine()
    expect(await new HostLoad([], source).read()).toEqual({ cpu: undefined, memory: undefined, disks: new Map() })
  })
})

describe('elsewhere', () => {
  test('the figures come from Node', async () => {
    const times = { busy: 0, total: 1_000 }
    const { source } = machine({
      platform: 'win32',
      cpuTimes: () => ({ ...times }),
      memory: () => ({ free: 4, total: 16 }),
    })
    const load = new HostLoad([], source)
    expect(await load.read()).toMatchObject({ cpu: undefined, memory: { left: 0.25, bytes: 4 } })
    Object.assign(times, { busy: 300, total: 2_000 })
    expect((await load.read()).cpu).toBe(0.3)
  })

  test('macOS, which keeps no memory free on purpose, is not judged by it', async () => {
    const { source } = machine({ platform: 'darwin', memory: () => ({ free: 1, total: 100 }) })
    expect((await new HostLoad([], source).read()).memory).toBeUndefined()
  })
})

describe('this machine', () => {
  const made: string[] = []
  afterAll(() => Promise.all(made.map((folder) => rm(folder, { recursive: true }))))

  test('gives plausible figures, also for a folder that does not exist yet', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'load-'))
    made.push(folder)
    const later = join(folder, 'not', 'yet')
    const load = new HostLoad([folder, later])
    await load.read()
    const from = performance.now()
    while (performance.now() - from < 250);
    const { cpu, memory, disks } = await load.read()
    expect(cpu).toBeGreaterThan(0)
    expect(cpu).toBeLessThanOrEqual(1)
    if (process.platform !== 'darwin') {
      expect(memory?.left).toBeGreaterThan(0)
      expect(memory?.left).toBeLessThanOrEqual(1)
      expect(memory?.bytes).toBeGreaterThan(1e6)
    }
    expect(disks?.get(folder)?.free).toBeGreaterThan(0)
    expect(disks?.get(later)).toEqual({ free: expect.any(Number), total: disks?.get(folder)?.total })
  })

  test('files that are read at once do not mix', async () => {
    const { readText } = thisHost()
    const [status, none, again] = await Promise.all([
      readText('/proc/self/stat'),
      readText('/none'),
      readText('/proc/stat'),
    ])
    expect(none).toBeUndefined()
    if (process.platform === 'linux') {
      expect(status).toMatch(/^\d+ \(/)
      expect(again).toMatch(/^cpu /)
    }
  })
})
