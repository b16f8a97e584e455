"""A trained network behind HTTP: requests in, class maps out; the page that shows them; Label Studio's protocol."""
