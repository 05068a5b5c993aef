import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { downloadDefinition } from '@taskfleet/downloads'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import type { TaskRow } from '@taskfleet/protocol'
import { makeKey } from '@taskfleet/testkit/fleet/rest-calls'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { defineTask } from '@taskfleet/worker'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

interface Answer {
  downloads: { id: string; title: string; status: string; fresh: boolean }[]
}

describe('taskfleet download', () => {
  const { fleet, here, run, start, ended, ready, json } = useCli()
  let server: FileServer
  let folder: string
  beforeAll(async () => {
    server = await startFileServer({
      files: { 'a.iso': { size: '64KiB' }, 'b.iso': { size: 10 }, 'c.iso': { size: '64KiB', seed: 2 } },
    })
    folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-download-')))
  })
  afterAll(async () => {
    await server.stop()
    await rm(folder, { recursive: true })
  })

  const at = (file: string) => `${server.url}/${file}`
  const worker = (queue: string) =>
    fleet.runner({ queue, tasks: [defineTask(downloadDefinition({ root: folder, allowPrivate: true }))] })
  const list = async (text: string): Promise<string> => {
    const path = join(folder, `${ownQueue()}.txt`)
    await writeFile(path, text)
    return path
  }
  const stored = (queue: string) => fleet.fleet.tasks.find({ queue }).sort({ _id: 1 }).toArray()

  test('downloads what a list names, and follows it to the end', async () => {
    const queue = ownQueue()
    await worker(queue)
    const sha = await server.sha256('a.iso')
    const text = `# two files\n${at('a.iso')}\n  dir=films/${queue}\n  checksum=sha-256=${sha}\n\n${at('b.iso')}\n  out={name}-${queue}.{ext}\n`
    const watched = await run('download', '-i', await list(text), '--queue', queue, '--watch')
    expect(watched).toMatchObject({ code: 0, err: '' })
    expect(watched.out).toMatch(/^[0-9a-f]{24} {2}a\.iso\n[0-9a-f]{24} {2}b\.iso\n/)
    expect(watched.out.match(/completed/g)).toHaveLength(2)
    expect(await readFile(join(folder, 'films', queue, 'a.iso'))).toHaveLength(65_536)
    expect(await readFile(join(folder, `b-${queue}.iso`))).toHaveLength(10)
  })

  test('exits with 1 when one has failed, and stores only the failed one anew', async () => {
    const queue = ownQueue()
    await worker(queue)
    const given = ['download', at(`b.iso?${queue}`), at(`missing-${queue}`), '--queue', queue, '--expect', 'rename']
    const first = await here(...given, '--watch')
    expect([first.code, first.out.match(/ (completed|failed) /g)!.sort()]).toEqual([1, [' completed ', ' failed ']])
    const again = await json<Answer>(...given)
    expect(again.downloads.map(({ status, fresh }) => [status, fresh])).toEqual([
      ['completed', false],
      ['pending', true],
    ])
    expect(await stored(queue)).toHaveLength(3)
  })

  test('does not store the same address and destination twice without --again', async () => {
    const queue = ownQueue()
    const give = (...more: string[]) => json<Answer>('download', at('a.iso'), '--queue', queue, ...more)
    const fresh = ({ downloads }: Answer) => downloads.map((one) => one.fresh)
    expect(fresh(await give())).toEqual([true])
    expect(fresh(await give('--priority', 'high', '--header', 'X-A: 1'))).toEqual([false])
    expect(fresh(await give('--folder', 'other'))).toEqual([true])
    expect(fresh(await give('--folder', 'other/', at('b.iso'), at('b.iso')))).toEqual([false, true])
    expect(fresh(await give('--out', 'other.iso'))).toEqual([true])
    const told = await here('download', at('a.iso'), '--queue', queue)
    expect(told.out).toMatch(/^[0-9a-f]{24} {2}a\.iso {2}\(there already: pending\)\n$/)
    expect(told.err).toMatch(/1 of 1 were there already; --again/)
    expect(fresh(await give('--again'))).toEqual([true])
    expect(await stored(queue)).toHaveLength(5)
  })

  test('has its options in each task, and those of a line come first', async () => {
    const queue = ownQueue()
    const text = `${at('a.iso')}\n  header=X-B: 2\n  dir=own\n${at('b.iso')}\n`
    const options = ['--folder', 'common', '--header', 'X-A: 1', '--header', 'X-B: 1', '--proxy', 'direct']
    await here(
      ...['download', '-i', await list(text), ...options, '--max-bytes', '1.5M', '--expect', 'skip', '--checksum-file'],
      ...['--queue', queue, '--priority', 'high'],
    )
    const common = { proxy: 'direct', maxBytes: 1_572_864, expect: 'skip', after: { checksumFile: true } }
    const tasks = await stored(queue)
    expect(tasks).toMatchObject([
      { input: { ...common, url: at('a.iso'), folder: 'own', headers: { 'X-A': '1', 'X-B': '2' } }, title: 'a.iso' },
      { input: { ...common, folder: 'common', headers: { 'X-A': '1', 'X-B': '1' } }, priority: 8, maxAttempts: 10 },
    ])
    expect(tasks[0]!.labels).toMatchObject({ origin: new URL(server.url).host })
  })

  test('sends a secret of the worker in a header, and stores its name only', async () => {
    const queue = ownQueue()
    const given = ['download', at(`b.iso?${queue}`), '--folder', queue, '--queue', queue]
    await here(...given, '--secret-header', 'Authorization: mirror-token')
    const [task] = await stored(queue)
    expect(task!.input).toMatchObject({ headers: { Authorization: { secret: 'mirror-token' } } })
    const secrets = (name: string) => (name === 'mirror-token' ? 'Bearer s3cret' : undefined)
    const tasks = [defineTask(downloadDefinition({ root: folder, allowPrivate: true }))]
    await fleet.runner({ queue, secrets, tasks })
    const ended = await fleet.ended(task!._id)
    expect(ended).toMatchObject({ status: 'completed' })
    expect(JSON.stringify(ended)).not.toContain('s3cret')
    expect(server.served('b.iso').headers.map(({ authorization }) => authorization)).toContain('Bearer s3cret')
    const bad = await here(...given, '--secret-header', 'Authorization')
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining("written as 'Name: value'")])
  })

  test('reads a list from stdin', async () => {
    const queue = ownQueue()
    const child = start(['download', '-i', '-', '--queue', queue], {}, ['pipe', 'pipe', 'pipe'])
    child.stdin!.end(`${at('a.iso')}\n`)
    expect(await ended(child)).toMatchObject({ code: 0 })
    expect(await stored(queue)).toHaveLength(1)
  })

  test('reads a Metalink document, and uses the mirror when the first address has other bytes', async () => {
    const queue = ownQueue()
    await worker(queue)
    const text = `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="${queue}/a.iso"><size>65536</size>
      <hash type="sha-256">${await server.sha256('a.iso')}</hash><url priority="1">${at('c.iso')}</url>
      <url priority="2">${at('a.iso')}</url></file></metalink>`
    const watched = await here(
      'download',
      '--metalink',
      await list(text),
      '--folder',
      'meta',
      '--queue',
      queue,
      '--watch',
    )
    expect(watched).toMatchObject({ code: 0, err: '' })
    expect(await readFile(join(folder, 'meta', queue, 'a.iso'))).toHaveLength(65_536)
    expect(await stored(queue)).toMatchObject([{ title: 'a.iso', input: { mirrors: [at('a.iso')], size: 65_536 } }])
    const bad = await list(text.replace(`${queue}/a.iso`, '../a.iso'))
    const refused = await here('download', '--metalink', bad, '--queue', queue)
    expect([refused.code, refused.err]).toEqual([
      2,
      expect.stringMatching(/txt: file 1: its name.*has '\.\.'.*BAD_INPUT/),
    ])
    const twice = await here('download', '--metalink', '-', '-i', '-', '--queue', queue)
    expect([twice.code, twice.err]).toEqual([2, expect.stringContaining('stdin is taken already')])
    expect(await stored(queue)).toHaveLength(1)
  })

  test('stores nothing when a line is bad, and names it', async () => {
    const queue = ownQueue()
    const path = await list(`${at('a.iso')}\nftp://a.example/x\n`)
    const bad: [string[], RegExp][] = [
      [['-i', path], /txt:2: ftp: addresses can't be downloaded.*\(BAD_INPUT\)/],
      [['https://a.example/1', 'www.a.example'], /address 2: this is no address/],
      [[at('a.iso'), '--out', '../x'], /address 1: .*has a folder/],
      [[at('a.iso'), '--folder', '/etc'], /address 1: .*is absolute/],
      [[at('a.iso'), '--checksum', 'md5:1'], /address 1: a checksum is/],
      [[at('a.iso'), '--header', 'nothing'], /written as 'Name: value'/],
      [[at('a.iso'), at('b.iso'), '--out', 'x'], /'--out' is for one address, and 2 are given/],
      [[at('a.iso'), '--max-bytes', 'many'], /Expected a size/],
      [['-i', join(folder, 'nothing')], /cannot be read/],
      [[], /Give at least one address/],
    ]
    for (const [args, told] of bad) {
      const { code, err, out } = await here('download', ...args, '--queue', queue)
      expect([args, code, out]).toEqual([args, 2, ''])
      expect(err).toMatch(told)
    }
    const many = Array.from({ length: 10_001 }, (_, n) => at(`${n}`)).join('\n')
    expect((await here('download', '-i', await list(many), '--queue', queue)).err).toContain('TOO_MANY_TASKS')
    expect(await stored(queue)).toEqual([])
  })

  test('stores a long list, and the same list from two commands once', async () => {
    const queue = ownQueue()
    // More than one request has room for.
    const path = await list(Array.from({ length: 300 }, (_, n) => at(`${n}.iso?${'x'.repeat(1_900)}`)).join('\n'))
    const both = await Promise.all([1, 2].map(() => run('download', '-i', path, '--queue', queue, '--json')))
    const [one, two] = both.map(({ out, err }) => {
      expect(err).toBe('')
      return (JSON.parse(out) as Answer).downloads
    })
    expect([one!.length, two!.length]).toEqual([300, 300])
    expect(one!.filter((_, index) => one![index]!.fresh === two![index]!.fresh)).toEqual([])
    expect(await stored(queue)).toHaveLength(300)
  })

  test('a gateway of the command stores downloads by REST, and sends their files from the worker', async () => {
    const queue = ownQueue()
    const { url } = await ready(start(['gateway', '--listen', '127.0.0.1:0', '--log-level', 'error']))
    await fleet.runner({
      queue,
      listen: { host: '127.0.0.1', port: 0 },
      tasks: [defineTask(downloadDefinition({ root: folder, allowPrivate: true }))],
    })
    const stored = await fetch(`${url}/api/v1/downloads?queue=${queue}&folder=${queue}`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: `${at('a.iso')}\n`,
    })
    expect(stored.status).toBe(201)
    const [{ id }] = ((await stored.json()) as Answer).downloads as [Answer['downloads'][0]]
    await expect
      .poll(async () => (await fetch(`${url}/api/v1/files/${id}`, { method: 'HEAD' })).status, { timeout: 20_000 })
      .toBe(200)
    const file = await fetch(`${url}/api/v1/files/${id}`)
    const bytes = Buffer.from(await file.arrayBuffer())
    expect(bytes.equals(await readFile(join(folder, queue, 'a.iso')))).toBe(true)
    const part = await fetch(`${url}/api/v1/files/${id}`, { headers: { range: 'bytes=-100' } })
    expect([part.status, Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(-100))]).toEqual([206, true])
  })

  test('works through a gateway, also with a key that may only store tasks', async () => {
    const queue = ownQueue()
    const token = await makeKey(fleet, { scopes: ['write'], queues: [queue] })
    fleet.cleanup(() => fleet.database.db.collection('keys').deleteMany({}))
    const { url } = await startGateway(fleet)
    const give = (key: string, ...more: string[]) =>
      ended(
        start(
          [
            'download',
            at('a.iso'),
            at('b.iso'),
            '--folder',
            queue,
            '--server',
            url!,
            '--queue',
            queue,
            '--json',
            ...more,
          ],
          { TASKFLEET_KEY: key },
        ),
      )
    const first = JSON.parse((await give(token)).out) as Answer
    expect(first.downloads.map((one) => one.fresh)).toEqual([true, true])
    const second = JSON.parse((await give(token)).out) as Answer
    expect(second.downloads).toEqual([
      { title: 'a.iso', fresh: false },
      { title: 'b.iso', fresh: false },
    ])
    const elsewhere = await give(token, '--queue', 'elsewhere')
    expect([elsewhere.code, elsewhere.err]).toEqual([4, expect.stringContaining('QUEUE_NOT_ALLOWED')])
    const reader = await makeKey(fleet, { scopes: ['read', 'write'], queues: [queue] })
    await worker(queue)
    const watched = await give(reader, '--watch')
    expect(watched).toMatchObject({ code: 0, err: '' })
    const [answer, ...rows] = watched.out.trim().split('\n')
    expect((JSON.parse(answer!) as Answer).downloads.map(({ id }) => id)).toEqual(first.downloads.map(({ id }) => id))
    expect(rows.map((row) => (JSON.parse(row) as TaskRow).status)).toContain('completed')
  })
})
