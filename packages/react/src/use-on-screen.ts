import { useEffect, useState } from 'react'

/** Whether an element is on the screen. */
export function useOnScreen(): [ref: (element: Element | null) => void, visible: boolean] {
  const [element, ref] = useState<Element | null>(null)
  const [visible, setVisible] = useState(false)
  useEffect(() => {
    if (element === null) return
    if (typeof IntersectionObserver === 'undefined') {
      setVisible(true)
      return
    }
    const observer = new IntersectionObserver((entries) => setVisible(entries.at(-1)?.isIntersecting ?? false))
    observer.observe(element)
    return () => observer.disconnect()
  }, [element])
  return [ref, visible]
}
