/** A connection string, or a text that quotes one, without its passwords: `mongodb://ana:***@host/`. */
export function maskSecrets(text: string): string {
  return text
    .replace(/(:\/\/[^:@/\s]*):[^/\s]*@/g, '$1:***@')
    .replace(/([?&][^=&\s]*(?:password|secret|token)=)[^&\s]*/gi, '$1***')
    .replace(/(AWS_SESSION_TOKEN:)[^&,\s]*/gi, '$1***')
}
