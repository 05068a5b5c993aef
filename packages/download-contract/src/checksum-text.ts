import { base64ToHex } from './text-bytes.ts'

/** By the names that Node uses. */
export type Algorithm = 'sha256' | 'sha512' | 'sha1' | 'md5'

const BYTES: Record<Algorithm, number> = { sha256: 32, sha512: 64, sha1: 20, md5: 16 }
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
  const hex = base64ToHex(value)
  return hex?.length === length * 2 ? hex : undefined
}
