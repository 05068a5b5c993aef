import { useEffect, useRef, useState } from 'react'

/** Typing settles for this long before the address and the query follow. */
const SETTLE_MS = 250

/** A field that tells what was typed once the typing has settled, and follows what others set. */
export function SettledInput({
  id,
  label,
  value,
  onSettled,
  placeholder,
  className,
}: {
  id?: string
  label: string
  value: string
  onSettled: (value: string) => void
  placeholder: string
  className: string
}) {
  const [typed, setTyped] = useState(value)
  const told = useRef(value)
  const latest = useRef(onSettled)
  latest.current = onSettled
  useEffect(() => {
    if (value === told.current) return
    told.current = value
    setTyped(value)
  }, [value])
  useEffect(() => {
    if (typed === told.current) return
    const timer = setTimeout(() => {
      told.current = typed
      latest.current(typed)
    }, SETTLE_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return (
    <input
      id={id}
      type="search"
      aria-label={label}
      placeholder={placeholder}
      className={className}
      value={typed}
      onChange={(event) => setTyped(event.target.value)}
    />
  )
}
