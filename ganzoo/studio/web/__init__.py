"""The pages of the studio, drawn with Gradio; every module imports it inside its functions, for it is optional."""
