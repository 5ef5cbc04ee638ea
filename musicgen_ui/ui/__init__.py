"""The page. It knows no MindSpore: `build_page` is handed an engine."""
