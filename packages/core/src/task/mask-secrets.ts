/** A name under which nobody keeps anything but a secret, as a whole or as a part of a longer one. */
const SECRET_NAME =
  /token|secret|passw|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|credential|signature|authori[sz]ation|(?:^|[-_.])(?:auth|pwd|sig|sid|session)$/i

/**
 * A text that somebody will read, without the secrets that it quotes: users and passwords of addresses, `token=…` and the
 * like in queries and forms, `"password": "…"`, and what stands after `Bearer`.
 */
export function maskSecrets(text: string): string {
  return text
    .replace(/(:\/\/)[^/\s"'<>?#]*@/g, '$1***@')
    .replace(/([?&]key=)[^&#\s"'<>]+/gi, '$1***')
    .replace(/([\w.-]{1,64})=("[^"]*"|'[^']*'|[^\s&#;,"'<>()[\]{}]+)/g, (whole, name: string) =>
      SECRET_NAME.test(name) ? `${name}=***` : whole,
    )
    .replace(
      /(["']?)([\w.-]{1,64})\1(\s*:\s*)(["'`])([^"'`\n]{1,4096})\4/g,
      (whole, quote: string, name: string, colon: string) =>
        SECRET_NAME.test(name) ? `${quote}${name}${quote}${colon}'***'` : whole,
    )
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, '$1 ***')
}
