// @vitest-environment happy-dom
import { downloadContract, parseAddressList } from '@taskfleet/download-contract'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, toast, withoutComplaints } from '../testing/page.ts'
import { cleanup, renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const DISK = { folder: '/srv/downloads', free: 40e9, total: 1e12 }
const worker = () => fleet.putWorker(aWorker({ name: 'fra-1', heartbeatMs: 60_000, disks: [DISK] }, Date.now()))
const from = (origin: string) => ({ labels: { origin } })
const region = async (name: string) => within(await screen.findByRole('region', { name }))
const cells = (row: HTMLElement) =>
  [...row.querySelectorAll<HTMLElement>('td')].map(({ textContent }) => textContent?.replaceAll('\u00a0', ' '))
const figure = (label: string) =>
  document.querySelector(`[data-figure="${label}"] dd`)?.textContent?.replaceAll('\u00a0', ' ')
const list = () => screen.findByRole<HTMLTextAreaElement>('textbox', { name: 'Add downloads' })
const type = async (value: string) => fireEvent.change(await list(), { target: { value } })

describe('the page of downloads', () => {
  it('shows what runs, waits and failed, by origin and by host', async () => {
    const now = Date.now()
    worker()
    fleet.put(aTask.running({ title: 'big.iso', host: 'fra-1', ...from('a.example') }, now))
    fleet.put(aTask.pending({ title: 'next.iso', ...from('a.example') }, now))
    fleet.put(aTask.failed({ title: 'gone.iso', ...from('b.example:8080') }, now))
    fleet.put(aTask.failed({ title: 'old.iso', ...from('c.example'), finishedAt: iso(now - 3 * 3_600_000) }, now))
    fleet.put(aTask.running({ name: 'encode', title: 'foreign.mkv' }, now))
    await renderMonitor(fleet, '/downloads')
    const running = await region('Running')
    await running.findByText('big.iso')
    expect((await running.findByRole('link', { name: 'fra-1' })).getAttribute('href')).toBe('/hosts/fra-1')
    await (await region('Next up')).findByText('next.iso')
    const failed = await region('Failed')
    await failed.findByText('gone.iso')
    failed.getByText('HTTP_404')
    expect(screen.queryByText('old.iso')).toBeNull()
    expect(screen.queryByText('foreign.mkv')).toBeNull()
    expect(figure('Running')).toBe('1')
    expect(figure('To fetch')).toBe('75.0 MBof what runs')
    expect((await screen.findAllByTestId('origin-row')).map(cells)).toEqual([
      ['a.example', '1', '1', '0', '–'],
      ['b.example:8080', '0', '0', '1', '–'],
    ])
    const [host] = await screen.findAllByTestId('download-host')
    expect(cells(host!)).toEqual(['fra-1', 'Running', '1', '–', '40.0 GB free of 1.00 TB/srv/downloads'])
  })

  it('counts failures of the chosen time', async () => {
    const now = Date.now()
    fleet.put(aTask.failed({ ...from('c.example'), finishedAt: iso(now - 3 * 3_600_000) }, now))
    await renderMonitor(fleet, '/downloads?range=6h')
    const [row] = await screen.findAllByTestId('origin-row')
    expect(cells(row!)).toEqual(['c.example', '0', '0', '1', '–'])
    screen.getByText('Failed counts what failed in the last 6 hours.')
  })

  it('leads to the tasks of an origin', async () => {
    fleet.put(aTask.running({ title: 'big.iso', ...from('a.example:8080') }, Date.now()))
    const { router } = await renderMonitor(fleet, '/downloads')
    const origins = await region('Origins')
    fireEvent.click(await origins.findByRole('link', { name: 'a.example:8080' }))
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?name=download&q=label.origin:a.example:8080'))
    await screen.findByText('big.iso')
  })

  it('adds up the live rates', async () => {
    worker()
    const task = fleet.put(aTask.running(from('a.example'), Date.now()))
    await renderMonitor(fleet, '/downloads')
    await region('Origins')
    await waitFor(() => expect(fleet.watches.size).toBeGreaterThan(0))
    const started = Date.now()
    const tell = () => {
      const done = 25e6 + (Date.now() - started) * 1_000
      act(() => fleet.report(task._id, { done, total: 1e12, unit: 'bytes' }))
    }
    await waitFor(() => {
      tell()
      const [row] = screen.getAllByTestId('origin-row')
      expect(cells(row!)[4]).toMatch(/^[\d.]+ [kM]?B\/s$/)
    })
    expect(figure('Rate')).toMatch(/[1-9].*B\/s/)
  })

  it('shows the segments of the download in the address, and closes them', async () => {
    worker()
    const checkpoint = { bytes: 25e6, ahead: [50e6, 60e6], total: 100e6 }
    const task = fleet.put(aTask.running({ title: 'big.iso', checkpoint }, Date.now()))
    const { router } = await renderMonitor(fleet, '/downloads')
    await click('Segments of big.iso')
    await waitFor(() => expect(router.state.location.href).toBe(`/downloads?open=${task._id}`))
    expect((await screen.findByRole('img', { name: /ranges on the disk/ })).getAttribute('aria-label')).toBe(
      '2 ranges on the disk, 35.0\u00a0MB of 100\u00a0MB',
    )
    await click('Segments of big.iso')
    await waitFor(() => expect(router.state.location.href).toBe('/downloads'))
    expect(screen.queryByTestId('segments')).toBeNull()
  })

  it('shows the segments of a download on its own page, too', async () => {
    const checkpoint = { bytes: 25e6, total: 100e6 }
    const task = fleet.put(aTask.paused({ title: 'big.iso', checkpoint }, Date.now()))
    await renderMonitor(fleet, `/tasks/${task._id}`)
    const segments = await region('Segments')
    expect((await segments.findByRole('img')).getAttribute('aria-label')).toBe(
      '1 range on the disk, 25.0\u00a0MB of 100\u00a0MB',
    )
    const other = fleet.put(aTask.paused({ name: 'encode', checkpoint }, Date.now()))
    cleanup()
    await renderMonitor(fleet, `/tasks/${other._id}`)
    await region('State')
    expect(screen.queryByRole('region', { name: 'Segments' })).toBeNull()
  })

  it('shows more than the first ones on request', async () => {
    const now = Date.now()
    for (let at = 0; at < 12; at += 1) fleet.put(aTask.running({ title: `file ${at}` }, now))
    const { router } = await renderMonitor(fleet, '/downloads')
    await waitFor(() => expect(screen.getAllByTestId('running-download')).toHaveLength(10))
    await click('2 more')
    await waitFor(() => expect(screen.getAllByTestId('running-download')).toHaveLength(12))
    expect(router.state.location.href).toBe('/downloads?show=all')
  })

  it('tries a failed one again', async () => {
    const task = fleet.put(aTask.failed({ title: 'gone.iso' }, Date.now()))
    await renderMonitor(fleet, '/downloads')
    await click('Retry gone.iso')
    await toast('Retried gone.iso')
    expect(fleet.sent('tasks.retry')).toEqual([{ id: task._id }])
    await (await region('Next up')).findByText('gone.iso')
  })

  it('says how to get the first one', async () => {
    await renderMonitor(fleet, '/downloads')
    await screen.findByText('There is no download yet')
    screen.getByText('taskfleet download URL')
    screen.getByText(/No worker serves downloads yet/)
  })

  it('says that nobody serves those that wait', async () => {
    fleet.put(aTask.pending({}, Date.now()))
    await renderMonitor(fleet, '/downloads')
    await screen.findByText('No live worker serves downloads, so they wait.')
  })

  it('keeps what it shows while the line is cut', async () => {
    fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    await renderMonitor(fleet, '/downloads')
    await screen.findByText('big.iso')
    await type('https://a.example/1')
    await waitFor(() =>
      expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Add download' }).disabled).toBe(false),
    )
    act(() => fleet.setState('reconnecting'))
    await screen.findByText(/nothing can be added now/)
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Add download' }).disabled).toBe(true)
    within(screen.getByRole('region', { name: 'Running' })).getByText('big.iso')
    expect((await list()).value).toBe('https://a.example/1')
  })

  it('says why it can’t be loaded', async () => {
    fleet.refused.set('tasks.history', { code: 'FORBIDDEN', message: 'Not with this key' })
    fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    await renderMonitor(fleet, '/downloads')
    await screen.findByText('big.iso')
    expect((await screen.findByRole('alert')).textContent).toContain('Not with this key')
  })
})

describe('the entry in the navigation', () => {
  const pages = () => within(screen.getByRole('navigation', { name: 'Pages' }))

  it('is there if a worker serves downloads, or the fleet has some', async () => {
    await renderMonitor(fleet, '/queues')
    await screen.findByText('There is no queue yet')
    expect(pages().queryByRole('link', { name: 'Downloads' })).toBeNull()
    act(() => void worker())
    await pages().findByRole('link', { name: 'Downloads' })
  })

  it('is in the search in any case', async () => {
    const { router } = await renderMonitor(fleet, '/queues')
    fireEvent.keyDown(document.body, { key: 'k', ctrlKey: true })
    const field = await screen.findByPlaceholderText(/A page, a task/)
    fireEvent.change(field, { target: { value: 'downloads' } })
    await waitFor(() =>
      expect(within(screen.getByRole('dialog')).getAllByRole('option')[0]?.textContent).toBe('Downloads'),
    )
    fireEvent.keyDown(field, { key: 'Enter' })
    await waitFor(() => expect(router.state.location.pathname).toBe('/downloads'))
    await pages().findByRole('link', { name: 'Downloads' })
  })
})

describe('a list of addresses', () => {
  const LIST = 'https://a.example/1.iso\nhttps://b.example/2.iso\n  out=two.iso'

  it('is refused by its lines until all are right', async () => {
    await renderMonitor(fleet, '/downloads')
    await type('https://a.example/1.iso\nftp://a.example/2\n\nhttps://a.example/3\n  nothing=1')
    const lines = await screen.findAllByTestId('bad-line')
    expect(lines.map(({ textContent }) => textContent)).toEqual([
      "Line 2: ftp: addresses can't be downloaded, only https: and http:",
      expect.stringMatching(/^Line 5: there is no option 'nothing' here/),
    ])
    expect(screen.getByRole<HTMLButtonElement>('button', { name: /^Add/ }).disabled).toBe(true)
    fireEvent.submit(screen.getByRole('form', { name: 'Add downloads' }))
    await type('https://a.example/1.iso\nhttps://a.example/3')
    await screen.findByText('2 addresses at a.example')
    expect(screen.queryByTestId('bad-line')).toBeNull()
    expect(fleet.written).toEqual([])
  })

  it('is queued as the command does it, once for each address and destination', async () => {
    worker()
    await renderMonitor(fleet, '/downloads')
    await type(LIST)
    fireEvent.change(screen.getByLabelText('Folder'), { target: { value: 'films/2026' } })
    fireEvent.change(screen.getByLabelText('Queue'), { target: { value: 'bulk' } })
    fireEvent.change(screen.getByLabelText('Priority'), { target: { value: 'high' } })
    await click('Add 2 downloads')
    await toast('2 downloads queued; no live worker serves them in this queue yet')
    expect((await list()).value).toBe('')
    const [{ tasks } = {}] = fleet.sent('tasks.enqueueMany')
    const common = { name: 'download', version: 1, queue: 'bulk', priority: 8, maxAttempts: 10 }
    expect(tasks).toMatchObject([
      {
        ...common,
        title: '1.iso',
        labels: { origin: 'a.example' },
        input: { url: 'https://a.example/1.iso', folder: 'films/2026' },
        key: expect.stringMatching(/^download-[0-9a-f]{24}$/),
      },
      { ...common, title: 'two.iso', input: { url: 'https://b.example/2.iso', file: 'two.iso', folder: 'films/2026' } },
    ])
    await type(LIST)
    await click('Add 2 downloads')
    await toast('0 downloads queued; 2 were there already')
    expect(fleet.sent('tasks.enqueueMany')).toHaveLength(1)
  })

  it('names a folder that can not be used', async () => {
    await renderMonitor(fleet, '/downloads')
    await type('https://a.example/1.iso')
    fireEvent.change(screen.getByLabelText('Folder'), { target: { value: '../etc' } })
    await screen.findByText(/folder "\.\.\/etc" has a part/)
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Add download' }).disabled).toBe(true)
  })

  it('is taken from what is dropped or pasted anywhere', async () => {
    await renderMonitor(fleet, '/downloads')
    const field = await list()
    const dropped = (types: string[], files: File[], data: Record<string, string>) => ({
      dataTransfer: { types, files, getData: (kind: string) => data[kind] ?? '' },
    })
    const link = dropped(['text/uri-list'], [], { 'text/uri-list': '# a comment\nhttps://a.example/1.iso' })
    fireEvent.dragOver(document.body, link)
    await screen.findByText('Drop it to add its addresses.')
    fireEvent.drop(document.body, link)
    await waitFor(() => expect(field.value).toContain('https://a.example/1.iso'))
    const file = new File(['https://a.example/2.iso\n'], 'list.txt', { type: 'text/plain' })
    fireEvent.drop(document.body, dropped(['Files'], [file], {}))
    await screen.findByText('2 addresses at a.example')
    fireEvent.paste(document.body, { clipboardData: { getData: () => 'https://b.example/3.iso' } })
    await screen.findByText('3 addresses at a.example, b.example')
    fireEvent.drop(document.body, dropped(['Files'], [new File(['\0\0'], 'x.bin')], {}))
    await screen.findByText('x.bin is no text: drop a list with one address a line')
  })

  it('stays when it is refused, with the reason', async () => {
    fleet.refused.set('tasks.enqueueMany', { code: 'QUEUE_FULL', message: 'The queue default is full' })
    await renderMonitor(fleet, '/downloads')
    await type('https://a.example/1.iso')
    await click('Add download')
    expect((await screen.findByRole('alert')).textContent).toContain('The queue default is full')
    expect((await list()).value).toBe('https://a.example/1.iso')
  })

  it('shows a key that may not write the reason instead of the form', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    fleet.put(aTask.failed({ title: 'gone.iso' }, Date.now()))
    await renderMonitor(fleet, '/downloads')
    await screen.findByText('gone.iso')
    screen.getByText(/This key may not add downloads/)
    expect(screen.queryByRole('textbox', { name: 'Add downloads' })).toBeNull()
    expect(screen.queryByRole('button', { name: 'Retry gone.iso' })).toBeNull()
  })
})

it('the rules of addresses need nothing that a browser lacks', () => {
  // What Node has and browsers lack is away while the list is read.
  const { Buffer: buffer, process: node } = globalThis
  Object.assign(globalThis, { Buffer: undefined, process: undefined })
  try {
    const read = parseAddressList(`https://a.example/ä.iso\n  checksum=sha-256=${'A'.repeat(43)}=\n  dir=ü`, 'list')
    expect(read.bad).toEqual([])
    expect(downloadContract.title!(read.downloads[0]!.input)).toBe('ä.iso')
  } finally {
    Object.assign(globalThis, { Buffer: buffer, process: node })
  }
})
