import { describe, expect, test } from 'vitest'
import { cpuSeconds, findLimits, memoryLeftIn, type ReadText } from './cgroup.ts'

const GIB = 1_024 ** 3
const from =
  (files: Record<string, string>): ReadText =>
  async (path) =>
    files[path]

describe('version 2', () => {
  const files = {
    '/proc/self/cgroup': '0::/system.slice/fleet.service\n',
    '/sys/fs/cgroup/system.slice/fleet.service/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/system.slice/fleet.service/cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n',
    '/sys/fs/cgroup/system.slice/fleet.service/memory.max': 'max\n',
    '/sys/fs/cgroup/system.slice/fleet.service/memory.high': `${2 * GIB}\n`,
    '/sys/fs/cgroup/system.slice/fleet.service/memory.current': `${1.5 * GIB}\n`,
    '/sys/fs/cgroup/system.slice/fleet.service/memory.stat': `anon 1\nfile 2\ninactive_anon 9\ninactive_file ${GIB / 2}\nactive_file 3\n`,
    '/sys/fs/cgroup/system.slice/cpu.max': 'max 100000\n',
    '/sys/fs/cgroup/system.slice/memory.max': `${8 * GIB}\n`,
  }

  test('limits of the own group and of those around it are found, groups without one are left out', async () => {
    expect(await findLimits(from(files))).toEqual({
      cpu: [{ usageFile: '/sys/fs/cgroup/system.slice/fleet.service/cpu.stat', version: 2, cores: 1.5 }],
      memory: [
        { folder: '/sys/fs/cgroup/system.slice/fleet.service', version: 2, bytes: 2 * GIB },
        { folder: '/sys/fs/cgroup/system.slice', version: 2, bytes: 8 * GIB },
      ],
    })
  })

  test('in a container its own files are at the root', async () => {
    for (const path of ['/', '/docker/0123abc', '/../../pod']) {
      const limits = await findLimits(
        from({
          '/proc/self/cgroup': `0::${path}\n`,
          '/sys/fs/cgroup/cpu.max': '50000 100000\n',
          '/sys/fs/cgroup/memory.max': `${GIB}\n`,
        }),
      )
      expect(limits).toEqual({
        cpu: [{ usageFile: '/sys/fs/cgroup/cpu.stat', version: 2, cores: 0.5 }],
        memory: [{ folder: '/sys/fs/cgroup', version: 2, bytes: GIB }],
      })
    }
  })

  test('usage is in seconds, and pages that can be given back count as left', async () => {
    const { cpu, memory } = await findLimits(from(files))
    expect(await cpuSeconds(cpu[0]!, from(files))).toBe(2.5)
    expect(await memoryLeftIn(memory[0]!, from(files))).toEqual({ left: 0.5, bytes: GIB })
    expect(await memoryLeftIn(memory[1]!, from(files))).toBeUndefined()
  })
})

describe('version 1', () => {
  const files = {
    '/proc/self/cgroup': '4:memory:/docker/ab\n3:cpuset:/\n2:cpu,cpuacct:/docker/ab\n1:name=systemd:/\n0::/\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '200000\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpuacct/cpuacct.usage': '1500000000\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${4 * GIB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${3.5 * GIB}\n`,
    '/sys/fs/cgroup/memory/memory.stat': `inactive_file 5\ntotal_inactive_file ${GIB / 2}\n`,
  }

  test('limits and usage are read where version 1 has them', async () => {
    const { cpu, memory } = await findLimits(from(files))
    expect(cpu).toEqual([{ usageFile: '/sys/fs/cgroup/cpuacct/cpuacct.usage', version: 1, cores: 2 }])
    expect(memory).toEqual([{ folder: '/sys/fs/cgroup/memory', version: 1, bytes: 4 * GIB }])
    expect(await cpuSeconds(cpu[0]!, from(files))).toBe(1.5)
    expect(await memoryLeftIn(memory[0]!, from(files))).toEqual({ left: 0.25, bytes: GIB })
  })

  test('its ways to say "no limit" are understood', async () => {
    const free = {
      ...files,
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    }
    expect(await findLimits(from(free))).toEqual({ cpu: [], memory: [] })
  })
})

test('without control groups, or with files that make no sense, there are no limits', async () => {
  const none = { cpu: [], memory: [] }
  expect(await findLimits(from({}))).toEqual(none)
  expect(
    await findLimits(
      from({
        '/proc/self/cgroup': 'nonsense\n0::/\n',
        '/sys/fs/cgroup/cpu.max': '100000 0\n',
        '/sys/fs/cgroup/memory.max': 'lots\n',
      }),
    ),
  ).toEqual(none)
  expect(await cpuSeconds({ usageFile: '/x', version: 2, cores: 1 }, from({ '/x': 'user_usec 1\n' }))).toBeUndefined()
})

test('a group that is over its limit has nothing left', async () => {
  const files = { '/g/memory.current': '150\n', '/g/memory.stat': '' }
  expect(await memoryLeftIn({ folder: '/g', version: 2, bytes: 100 }, from(files))).toEqual({ left: 0, bytes: 0 })
})
