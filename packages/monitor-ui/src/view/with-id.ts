/** The last request. */
interface SentId {
  content: string
  _id: string
}

/** A request with an id: the same content keeps its own, so that repeating it after a lost answer creates no second document. */
export function withId<R extends object>(request: R, sent: SentId): R & { _id: string } {
  const content = JSON.stringify(request)
  if (content !== sent.content) {
    sent.content = content
    sent._id = freshId()
  }
  return { ...request, _id: sent._id }
}

/** A new id in the database's format: time, then random bytes. */
function freshId(): string {
  const random = crypto.getRandomValues(new Uint8Array(8))
  const seconds = Math.floor(Date.now() / 1_000)
    .toString(16)
    .padStart(8, '0')
  return seconds + Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
