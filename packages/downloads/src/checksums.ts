/** By the names that Node uses. */
export type Algorithm = 'sha256' | 'sha512' | 'sha1' | 'md5'

/** Lower-case hex by algorithm. */
export type Checksums = { readonly [A in Algorithm]?: string }

const BYTES: Record<Algorithm, number> = { sha256: 32, sha512: 64, sha1: 20, md5: 16 }
/** Of several digests of a server, the first of these counts: SHA-256 is computed anyway. */
const PREFERENCE = ['sha256', 'sha512', 'sha1', 'md5'] as const satisfies readonly Algorithm[]
/** As they are called in inputs, in `Repr-Digest` (RFC 9530), and in `Digest` (RFC 3230). */
const NAMES: Readonly<Record<string, Algorithm>> = {
  ...{ 'sha-256': 'sha256', 'sha-512': 'sha512', 'sha-1': 'sha1', sha: 'sha1' },
  ...{ sha256: 'sha256', sha512: 'sha512', sha1: 'sha1', md5: 'md5' },
}

/** `sha-512:…`, `md5=…` and so on, in hex or base64. @returns undefined for anything else */
export function readChecksum(text: string): [algorithm: Algorithm, hex: string] | undefined {
  const [, name = '', value = ''] = /^\s*([\w-]+)\s*[:=]\s*(\S+?)\s*$/.exec(text) ?? []
  const algorithm = NAMES[name.toLowerCase()]
  const hex = algorithm === undefined ? undefined : hexOf(value.replace(/^:(.*):$/, '$1'), BYTES[algorithm])
  return algorithm === undefined || hex === undefined ? undefined : [algorithm, hex]
}

function hexOf(value: string, length: number): string | undefined {
  if (value.length === length * 2 && /^[0-9a-f]+$/i.test(value)) return value.toLowerCase()
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) return undefined
  const bytes = Buffer.from(value, 'base64')
  return bytes.length === length ? bytes.toString('hex') : undefined
}

/** What a server says of the whole file, by `Repr-Digest` or `Digest`: at most one checksum. What it does not say well is left out. */
export function serverChecksum(headers: Record<string, string>): Checksums {
  const given = [headers['repr-digest'], headers.digest]
    .flatMap((header) => (header ?? '').split(/,(?=\s*[\w-]+=)/))
    .map((one) => readChecksum(one.replace(/;[^,]*$/, '')))
    .filter((one) => one !== undefined)
  const best = PREFERENCE.map((name) => given.find(([algorithm]) => algorithm === name)).find(
    (one) => one !== undefined,
  )
  return best === undefined ? {} : { [best[0]]: best[1] }
}

/** The first of `wanted` that `found` does not have; undefined when all fit. */
export function wrongChecksum(wanted: Checksums, found: Checksums): Algorithm | undefined {
  return PREFERENCE.find((name) => wanted[name] !== undefined && wanted[name] !== found[name])
}

export const algorithmsOf = (...checksums: Checksums[]): Algorithm[] =>
  PREFERENCE.filter((name) => checksums.some((one) => one[name] !== undefined))
