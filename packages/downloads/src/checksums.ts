import { type Algorithm, readChecksum } from '@taskfleet/download-contract/internal'

/** Lower-case hex by algorithm. */
export type Checksums = { readonly [A in Algorithm]?: string }

/** Of several digests of a server, the first of these counts: SHA-256 is computed anyway. */
const PREFERENCE = ['sha256', 'sha512', 'sha1', 'md5'] as const satisfies readonly Algorithm[]
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
