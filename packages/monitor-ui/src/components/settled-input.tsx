import { useEffect, useRef, useState } from 'react'

/** Typing counts as settled after this long. */
const SETTLE_MS = 250

interface Props {
  id?: string
  label: string
  value: string
  onSettled: (value: string) => void
  /** Called at each change. */
  onTyped?: (value: string) => void
  placeholder: string
  className: string
  /** The id of a list of proposals. */
  list?: string
}

/** A field that reports its value once the typing has settled. It follows changes of `value` from outside. */
export function SettledInput({ label, value, onSettled, onTyped, ...input }: Props) {
  const [typed, setTyped] = useState(value)
  const reported = useRef(value)
  const latest = useRef(onSettled)
  latest.current = onSettled
  useEffect(() => {
    if (value === reported.current) return
    reported.current = value
    setTyped(value)
  }, [value])
  useEffect(() => {
    if (typed === reported.current) return
    const timer = setTimeout(() => {
      reported.current = typed
      latest.current(typed)
    }, SETTLE_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return (
    <input
      {...input}
      type="search"
      aria-label={label}
      value={typed}
      onChange={(event) => {
        setTyped(event.target.value)
        onTyped?.(event.target.value)
      }}
    />
  )
}
