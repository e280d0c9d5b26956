"""What customers wrote: scrubbed, turned to sentiment and themes, in any language."""
