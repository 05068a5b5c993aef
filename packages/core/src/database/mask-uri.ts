/** An address that may be shown: without the password. */
export function maskUri(uri: string): string {
  return uri.replace(/(\/\/[^:/@]+):[^@]*@/, '$1:***@')
}
