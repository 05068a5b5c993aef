import type { DownloadInput } from '@taskfleet/downloads'
import type { FileServer } from '@taskfleet/downloads/file-server'
import type { EnqueueOptions, TaskStatus } from '@taskfleet/protocol'

/** One download of the demonstration: what is asked for, and how it should end. */
export interface PlannedDownload {
  file: string
  what: string
  input: DownloadInput
  options: EnqueueOptions
  /** How long after the start it is posted, in milliseconds. */
  afterMs: number
  expected: { status: TaskStatus; code?: string }
}

const MIB = 1024 * 1024
/** Large enough at every scale that a part is on disk when its host is killed. */
const LEAST: Record<string, number> = { 'carried-over.img': 16 * MIB }
const DEFAULTS = { options: {}, afterMs: 0, expected: { status: 'completed' } } as const

/** The files that the demonstration serves, by size in MiB; `scale` makes them all smaller. */
export function servedFiles(scale: number): Record<string, { size: number; seed: number } | { path: string }> {
  const sizes: Record<string, number> = {
    'large.iso': 1024,
    'archive.tar': 384,
    'video.mp4': 256,
    'dropped.bin': 128,
    'urgent.zip': 64,
    'mirror.bin': 96,
    'later.csv': 48,
    'forged.bin': 16,
    'throttled.dat': 24,
    'carried-over.img': 36,
    'photos.tgz': 8,
    'notes.txt': 0.1,
  }
  const generated = Object.entries(sizes).map(([file, mib], index) => [
    file,
    { size: Math.max(LEAST[file] ?? 64 * 1024, Math.round(mib * MIB * scale)), seed: index + 1 },
  ])
  return { ...Object.fromEntries(generated), 'node.bin': { path: process.execPath } }
}

/** A dozen downloads with different sizes and outcomes, and the URLs that the user gave. */
export async function planDownloads(
  server: FileServer,
  scale: number,
  urls: readonly string[],
): Promise<PlannedDownload[]> {
  const plan = async (
    file: string,
    what: string,
    { query = '', sha256, ...over }: Partial<PlannedDownload> & { query?: string; sha256?: string } = {},
  ): Promise<PlannedDownload> => ({
    ...DEFAULTS,
    file,
    what,
    input: { url: `${server.url}/${file}${query}`, file, sha256: sha256 ?? (await server.sha256(file)) },
    ...over,
  })
  /** A rate at which a file takes so many seconds. */
  const lasting = (file: string, seconds: number): string =>
    `?rate=${Math.max(16 * 1024, Math.round(server.size(file) / seconds))}`
  const seconds = scale < 0.5 ? 6 : 18
  return [
    await plan('carried-over.img', 'slow enough to lose its host on the way', {
      query: lasting('carried-over.img', seconds),
    }),
    await plan('throttled.dat', 'a server that limits its rate', { query: lasting('throttled.dat', seconds * 0.8) }),
    await plan('node.bin', 'a real program: the Node binary'),
    await plan('large.iso', 'a gibibyte', { query: lasting('large.iso', seconds) }),
    await plan('dropped.bin', 'the server hangs up half-way, once', {
      query: `?drop=${Math.round(server.size('dropped.bin') / 2)}`,
    }),
    {
      ...(await plan('notes.txt', 'not there: 404', { expected: { status: 'failed', code: 'HTTP_404' } })),
      file: 'missing.pdf',
      input: { url: `${server.url}/missing.pdf`, file: 'missing.pdf' },
    },
    await plan('forged.bin', 'its content is not what was promised', {
      sha256: '0'.repeat(64),
      expected: { status: 'failed', code: 'CHECKSUM_MISMATCH' },
    }),
    await plan('archive.tar', 'large', { query: lasting('archive.tar', seconds * 0.6) }),
    await plan('video.mp4', 'large', { query: lasting('video.mp4', seconds * 0.4) }),
    await plan('mirror.bin', 'medium', { options: { priority: 'low' } }),
    await plan('photos.tgz', 'small'),
    await plan('notes.txt', 'tiny'),
    await plan('later.csv', 'scheduled', { options: { runAt: new Date(Date.now() + (scale < 0.5 ? 4_000 : 15_000)) } }),
    await plan('urgent.zip', 'posted late with high priority: it overtakes', {
      options: { priority: 'high' },
      afterMs: 1_500,
    }),
    ...urls.map(
      (url, index): PlannedDownload => ({ ...DEFAULTS, file: `url-${index + 1}`, what: url, input: { url } }),
    ),
  ]
}
