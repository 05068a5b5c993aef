/** An address without the password, so that it may be shown. */
export function maskUri(uri: string): string {
  return uri.replace(/(\/\/[^:/@]+):[^@]*@/, '$1:***@')
}
